"use strict";

// Files and folders dropped anywhere on the page are submitted with the form.
const MOST = 256;
const form = document.querySelector("form[data-drop]");

const readFile = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

// Stops at one file more than allowed, which is enough for the error.
const collect = async (entry, files) => {
  if (files.length > MOST) {
    return;
  }
  if (entry.isFile) {
    files.push(await readFile(entry));
    return;
  }
  const reader = entry.createReader();
  const read = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  for (let entries = await read(); entries.length && files.length <= MOST; entries = await read()) {
    for (const each of entries) {
      await collect(each, files);
    }
  }
};

const take = async (carried) => {
  // Read before the first await: the browser clears the dropped items afterwards.
  const entries = [...carried.items].map((item) => item.webkitGetAsEntry?.());
  const files = [];
  if (entries.some((entry) => entry?.isDirectory)) {
    for (const entry of entries.filter(Boolean)) {
      await collect(entry, files);
    }
    return files.filter((file) => file.type.startsWith("image/"));
  }
  return [...carried.files];
};

if (form) {
  const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const status = form.querySelector("output");
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      document.body.classList.add("dropping");
    }
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) {
      return;
    }
    event.preventDefault();
    document.body.classList.remove("dropping");
    const files = await take(event.dataTransfer);
    if (!files.length || files.length > MOST) {
      status.textContent = files.length ? `There are more than ${MOST} images: pack them into an archive, or use the command.` : "No images were found.";
      return;
    }
    const images = new DataTransfer();
    files.forEach((file) => images.items.add(file));
    form.querySelector("input[type=file]").files = images.files;
    status.textContent = `Sending ${files.length === 1 ? "1 image" : `${files.length} images`}.`;
    form.requestSubmit();
  });
}
