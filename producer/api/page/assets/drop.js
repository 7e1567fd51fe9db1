"use strict";

// Files and folders that are dropped anywhere become the images of the form, which is sent.
const MOST = 256;
const form = document.querySelector("form[data-drop]");

const readFile = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

// One more than may be sent is enough to know that it is too many.
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
  // Asked for before anything is awaited: afterwards, what was dropped is gone.
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
      status.textContent = files.length ? `These are more than ${MOST} images: pack them, or use the command.` : "There is no image in it.";
      return;
    }
    const images = new DataTransfer();
    files.forEach((file) => images.items.add(file));
    form.querySelector("input[type=file]").files = images.files;
    status.textContent = `${files.length === 1 ? "1 image is" : `${files.length} images are`} sent.`;
    form.requestSubmit();
  });
}
