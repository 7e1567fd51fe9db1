"use strict";

// What cannot be undone is asked for twice.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.sure;
  if (question && !confirm(question)) {
    event.preventDefault();
  }
});

// What is live is replaced by what the server says of it, which is HTML that its templates have escaped.
const live = document.querySelector("[data-live]");
if (live) {
  const events = new EventSource(live.dataset.live);
  events.addEventListener("html", (event) => {
    live.innerHTML = event.data;
  });
  // Who is signed in no more is told so.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) {
      location.reload();
    }
  };
}

// What takes a look into a file comes after the rest of its page; without it the link stays.
const late = document.querySelector("[data-load]");
if (late) {
  fetch(late.dataset.load).then(async (answer) => {
    if (answer.ok) {
      late.innerHTML = await answer.text();
    }
  });
}

// One box for all that stand below it.
const all = document.querySelector("[data-all]");
if (all) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) {
      box.checked = all.checked;
    }
  });
}
