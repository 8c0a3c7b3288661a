// A file that is dropped beside the upload for it would take the page's place in the browser: all of the form stands for that upload.
const meant = event => !event.defaultPrevented && event.target.closest("#settings") && event.dataTransfer.types.includes("Files");

document.addEventListener("dragover", event => { if (meant(event)) event.preventDefault(); });
document.addEventListener("drop", event => {
    if (!meant(event)) return;
    event.preventDefault();
    const door = document.querySelector("#load-settings input[type=file]");
    if (!door) return; // it is taking another one
    const carried = new DataTransfer();
    carried.items.add(event.dataTransfer.files[0]);
    door.files = carried.files;
    door.dispatchEvent(new Event("change", {bubbles: true}));
});
