"""The dashboards on Prometheus."""

from monitoring.grafana.pages import Page, Panel, Query, Unit, quantiles

OPERATIONS = Page(
    "starlight-operations",
    "Starlight: operations",
    (
        Panel(
            "Images a minute, and the target",
            Unit.COUNT,
            (
                Query("starlight:images_per_minute:rate1m", "1 min"),
                Query("starlight:images_per_minute:rate5m", "5 min"),
                Query("starlight:images_per_minute:rate15m", "15 min"),
                Query("max(starlight_target_images_per_minute)", "target"),
            ),
        ),
        Panel(
            "Images without a verdict",
            Unit.COUNT,
            (Query("max by (priority, state) (starlight_queue_images)", "{{priority}} {{state}}"),),
        ),
        Panel(
            "Age of the oldest waiting job",
            Unit.SECONDS,
            (Query('max by (priority) (starlight_queue_oldest_seconds{state=~"pending|dispatched"})', "{{priority}}"),),
        ),
        Panel(
            "Unaccounted images",
            Unit.COUNT,
            (Query("max(starlight_images_unaccounted)", "unaccounted"),),
            "Anything but 0 is a bug.",
        ),
        Panel("Live workers", Unit.COUNT, (Query("max by (device) (starlight_device_workers)", "{{device}}"),)),
        Panel(
            "Reachable servers",
            Unit.COUNT,
            (Query("max(starlight_postgres_up)", "PostgreSQL"), Query("max(starlight_redis_up)", "Redis")),
        ),
        Panel("Messages in Redis", Unit.COUNT, (Query("max by (queue) (starlight_messages)", "{{queue}}"),)),
        Panel("Memory of Redis", Unit.BYTES, (Query("max(starlight_redis_memory_bytes)", "used"),)),
        Panel(
            "Recoveries in 15 minutes",
            Unit.COUNT,
            (
                Query("max(increase(starlight_chunks_lost_total[15m]))", "leases lost"),
                Query("max(increase(starlight_chunks_split_total[15m]))", "chunks split"),
                Query("max(increase(starlight_chunks_republished_total[15m]))", "messages republished"),
                Query("max(increase(starlight_chunks_put_off_total[15m]))", "put off"),
                Query("max(increase(starlight_chunks_given_back_total[15m]))", "given back"),
                Query("max(increase(starlight_images_convicted_total[15m]))", "images convicted"),
            ),
        ),
        Panel(
            "Open jobs",
            Unit.COUNT,
            (Query("max by (priority, state) (starlight_jobs_open)", "{{priority}} {{state}}"),),
        ),
        Panel(
            "Longest remaining time of a job",
            Unit.SECONDS,
            (Query("max by (priority) (starlight_jobs_longest_left_seconds)", "{{priority}}"),),
        ),
        Panel(
            "Webhooks",
            Unit.COUNT,
            (Query("max(starlight_webhooks_waiting)", "waiting"), Query("max(starlight_webhooks_failing)", "failing")),
        ),
        Panel(
            "Disk space for blobs",
            Unit.BYTES,
            (
                Query("min(starlight_blobs_disk_free_bytes)", "free"),
                Query("max(starlight_blobs_disk_least_bytes)", "uploads refused below"),
                Query("max(starlight_stored_bytes)", "kept by jobs"),
            ),
        ),
        Panel(
            "From submission to verdict, interactive",
            Unit.SECONDS,
            quantiles("starlight_image_seconds", where='{priority="interactive"}'),
        ),
        Panel("Duration of a scrape", Unit.SECONDS, (Query("max(starlight_postgres_scrape_seconds)", "PostgreSQL"),)),
    ),
)

WORKER = Page(
    "starlight-worker",
    "Starlight: one worker",
    (
        Panel(
            "Images a minute",
            Unit.COUNT,
            (Query('60 * rate(starlight_worker_images_total{instance=~"$instance"}[$__rate_interval])', "{{device}}"),),
        ),
        Panel(
            "Time by stage",
            Unit.COUNT,
            (
                Query(
                    "sum by (stage) ("
                    'rate(starlight_worker_stage_seconds_sum{instance=~"$instance"}[$__rate_interval]))',
                    "{{stage}}",
                ),
            ),
            "Average number of threads in each stage.",
        ),
        Panel(
            "Time of a chunk in each stage",
            Unit.SECONDS,
            quantiles("starlight_worker_stage_seconds", "stage", '{instance=~"$instance"}'),
        ),
        Panel(
            "Batch fill",
            Unit.RATIO,
            (
                Query(
                    'sum(rate(starlight_worker_batch_fill_ratio_sum{instance=~"$instance"}[$__rate_interval]))'
                    ' / sum(rate(starlight_worker_batch_fill_ratio_count{instance=~"$instance"}[$__rate_interval]))',
                    "mean",
                ),
            ),
        ),
        Panel(
            "Images in memory",
            Unit.COUNT,
            (Query('starlight_worker_images_held{instance=~"$instance"}', "{{device}}"),),
        ),
        Panel(
            "Running chunks",
            Unit.COUNT,
            (Query('starlight_worker_chunks_running{instance=~"$instance"}', "{{device}}"),),
        ),
        Panel(
            "Memory of the worker process",
            Unit.BYTES,
            (Query('process_resident_memory_bytes{job="starlight-worker", instance=~"$instance"}', "resident"),),
            "Without its decoding processes.",
        ),
        Panel(
            "Busy CPU cores",
            Unit.COUNT,
            (
                Query(
                    'rate(process_cpu_seconds_total{job="starlight-worker", instance=~"$instance"}[$__rate_interval])',
                    "busy",
                ),
            ),
        ),
    ),
    variables={"instance": "label_values(starlight_worker_images_total, instance)"},
)

GPU = Page(
    "starlight-gpu",
    "Starlight: GPUs",
    (
        Panel(
            "Utilization",
            Unit.RATIO,
            (Query("starlight_gpu_utilization_ratio", "{{instance}} {{device}}"),),
        ),
        Panel("Memory in use", Unit.BYTES, (Query("starlight_gpu_memory_used_bytes", "{{instance}} {{device}}"),)),
        Panel("Temperature", Unit.CELSIUS, (Query("starlight_gpu_temperature_celsius", "{{instance}} {{device}}"),)),
    ),
)

API = Page(
    "starlight-api",
    "Starlight: API",
    (
        Panel(
            "Requests",
            Unit.PER_SECOND,
            (Query("sum by (status) (rate(starlight_api_requests_total[$__rate_interval]))", "{{status}}"),),
        ),
        Panel(
            "Requests by route",
            Unit.PER_SECOND,
            (
                Query(
                    "sum by (method, route) (rate(starlight_api_requests_total[$__rate_interval]))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel("Response time", Unit.SECONDS, quantiles("starlight_api_request_seconds")),
        Panel(
            "Refused requests",
            Unit.PER_SECOND,
            (Query("sum by (reason) (rate(starlight_api_refusals_total[$__rate_interval]))", "{{reason}}"),),
        ),
        Panel(
            "In progress",
            Unit.COUNT,
            (
                Query("sum(starlight_api_requests_in_flight)", "requests"),
                Query("sum(starlight_api_streams_open)", "streams of events"),
            ),
        ),
        Panel(
            "Usage of limits",
            Unit.RATIO,
            (
                Query(
                    "sum(max without (instance) (starlight_queue_images)) / max(starlight_images_waiting_limit)",
                    "waiting images",
                ),
                Query("max(starlight_stored_bytes_largest / starlight_stored_bytes_limit)", "stored bytes of one key"),
            ),
        ),
    ),
)

QUALITY = Page(
    "starlight-quality",
    "Starlight: model quality",
    (
        Panel(
            "Outcomes a minute",
            Unit.COUNT,
            (Query("60 * max by (outcome) (rate(starlight_images_finished_total[$__rate_interval]))", "{{outcome}}"),),
        ),
        Panel(
            "Share of stego verdicts among judged images",
            Unit.RATIO,
            (
                Query(
                    'sum(rate(starlight_images_finished_total{outcome="stego"}[$__rate_interval]))'
                    ' / sum(rate(starlight_images_finished_total{outcome!="error"}[$__rate_interval]))',
                    "stego",
                ),
            ),
            "A jump without a new source of images indicates a problem with the model.",
        ),
        Panel(
            "Stego verdicts per hour, by method",
            Unit.COUNT,
            (Query("max by (method) (increase(starlight_images_found_total[1h]))", "{{method}}"),),
        ),
        Panel(
            "Errors per hour, by code",
            Unit.COUNT,
            (Query("max by (code) (increase(starlight_image_errors_total[1h])) > 0", "{{code}}"),),
        ),
        Panel(
            "Workers by model",
            Unit.COUNT,
            (Query("max by (model, sha256) (starlight_model_workers)", "{{model}} {{sha256}}"),),
        ),
        Panel(
            "Reused verdicts",
            Unit.COUNT,
            (Query("60 * max(rate(starlight_images_reused_total[$__rate_interval]))", "a minute"),),
        ),
        Panel(
            "Share of stego canaries that are found, by method",
            Unit.RATIO,
            (
                Query(
                    "sum by (hidden) ("
                    'increase(starlight_canary_images_total{hidden!="none", result=~"right|unread"}[1d]))'
                    ' / sum by (hidden) (increase(starlight_canary_images_total{hidden!="none"}[1d]))',
                    "{{hidden}}",
                ),
            ),
            "Over one day. Less than 1 raises an alert.",
        ),
        Panel(
            "False positives among clean canaries",
            Unit.COUNT,
            (
                Query(
                    'max(increase(starlight_canary_images_total{hidden="none", result="wrong"}[1h]))', "false positives"
                ),
            ),
            "Per hour. Each one raises an alert.",
        ),
        Panel(
            "Canaries, by result",
            Unit.COUNT,
            (
                Query(
                    "max by (hidden, result) (increase(starlight_canary_images_total[1h])) > 0", "{{hidden}} {{result}}"
                ),
            ),
            "Per hour. `unread`: the verdict is right, but the message was not read completely.",
        ),
        Panel(
            "From submission to verdict, canaries",
            Unit.SECONDS,
            (
                *quantiles("starlight_canary_seconds", window="1h"),
                Query("max(starlight_canary_slowest_seconds)", "slowest of the newest round"),
            ),
        ),
    ),
)
