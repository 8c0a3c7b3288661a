// A file that is dropped where nothing takes it would take the page's place in the browser. All of the form stands for the upload of settings, and all
// around a picture for that of a picture; where an upload shows what it has, Gradio keeps the browser from taking a file and does not take it either.
const carriesFile = event => event.dataTransfer?.types.includes("Files");
const isTaken = event => event.defaultPrevented && !event.target.closest(".block:has(.file-preview):not(:has(input[type=file]))");

document.addEventListener("dragover", event => { if (carriesFile(event)) event.preventDefault(); });
document.addEventListener("drop", event => {
    if (!carriesFile(event) || isTaken(event)) return;
    event.preventDefault();
    const upload = event.target.closest("#settings") ? "#load-settings" : event.target.closest("#single-input, #compare-input") ? "#pasted" : null;
    const door = upload && document.querySelector(`${upload} input[type=file]`);
    if (!door) return; // it is taking another one, or a run is under way
    const carried = new DataTransfer();
    carried.items.add(event.dataTransfer.files[0]);
    door.files = carried.files;
    door.dispatchEvent(new Event("change", {bubbles: true}));
});
