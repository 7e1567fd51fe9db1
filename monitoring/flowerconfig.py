"""Flower's configuration, given to it by `--conf`."""

# Flower keeps tasks in memory; without a bound, a day of bulk work fills it.
max_tasks = 10_000
max_workers = 1_000
# Columns of the task list: the chunk's id stands in `args`, what became of it in `result`.
tasks_columns = "name,uuid,state,args,result,received,started,runtime,worker"
natural_time = True
