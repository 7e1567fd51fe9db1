"use strict";

// Files that are dropped anywhere become those of the form, which is sent.
const drop = document.querySelector("form[data-drop]");
if (drop) {
  const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      document.body.classList.add("dropping");
    }
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      drop.elements.images.files = event.dataTransfer.files;
      drop.requestSubmit();
    }
  });
}

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
