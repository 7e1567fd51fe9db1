"use strict";

// Actions that cannot be undone need a confirmation.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.sure;
  if (question && !confirm(question)) {
    event.preventDefault();
  }
});

// The live part is replaced by HTML from the server, whose templates escape all values.
const live = document.querySelector("[data-live]");
if (live) {
  const events = new EventSource(live.dataset.live);
  events.addEventListener("html", (event) => {
    live.innerHTML = event.data;
  });
  // If the session has expired, reloading shows the sign-in page.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) {
      location.reload();
    }
  };
}

// The inspection takes time, so it is loaded after the page; if that fails, the link stays.
const late = document.querySelector("[data-load]");
if (late) {
  fetch(late.dataset.load).then(async (answer) => {
    if (answer.ok) {
      late.innerHTML = await answer.text();
    }
  });
}

// The checkbox in the header marks all rows.
const all = document.querySelector("[data-all]");
if (all) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) {
      box.checked = all.checked;
    }
  });
}
