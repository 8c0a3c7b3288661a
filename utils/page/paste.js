// A picture in the clipboard goes through the hidden upload, as the file that it is; while that is not there, a run is under way.
document.addEventListener("paste", event => {
    const file = [...(event.clipboardData?.files ?? [])].find(file => file.type.startsWith("image/"));
    const door = document.querySelector("#pasted input[type=file]");
    const writing = event.target.closest?.("input:not([type=file]), textarea, [contenteditable]");
    if (writing && event.clipboardData.types.includes("text/plain")) return; // office programs put a picture of the text beside it
    const seen = ["single-input", "compare-input"].some(id => document.getElementById(id)?.offsetParent);
    if (!file || !door || !seen) return;
    event.preventDefault();
    const carried = new DataTransfer();
    carried.items.add(file);
    door.files = carried.files;
    door.dispatchEvent(new Event("change", {bubbles: true}));
});
