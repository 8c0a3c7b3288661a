"""Where a visitor drops files and folders. Gradio's own component for files forgets in which folder each of them was."""

from __future__ import annotations

import gradio as gr

from utils.page.upload_tree import MOST_FILES

_HTML = """<div class="sr-drop" role="group" aria-label="Pictures for the batch">
  <p>Drop pictures or folders here, or</p>
  <p class="sr-drop-choices"><button type="button" data-for="batch-files">Choose files</button>
  <button type="button" data-for="batch-folder">Choose a folder</button></p>
  <input type="file" id="batch-files" multiple hidden aria-label="Files for the batch">
  <input type="file" id="batch-folder" webkitdirectory hidden aria-label="A folder for the batch">
  <p class="sr-drop-state" role="status"></p>
</div>"""
# Hidden files stay where they are: the batch would leave them out.
_JS = """
const find = words => element.querySelector(words);
const say = words => { find(".sr-drop-state").textContent = words; };
let busy = false;

async function within(entry, below) {
    if (entry.isFile) return [{file: await new Promise((done, fail) => entry.file(done, fail)), name: below + entry.name}];
    const reader = entry.createReader(), found = [];
    for (;;) {
        const some = await new Promise((done, fail) => reader.readEntries(done, fail));
        if (!some.length) return found;
        for (const inner of some) found.push(...await within(inner, below + entry.name + "/"));
    }
}

async function send(all) {
    const chosen = all.filter(({name}) => !name.split("/").some(part => part.startsWith(".")));
    if (busy || !chosen.length) return;
    if (chosen.length > props.most_files) {
        say(`These are ${chosen.length} files, and this page takes ${props.most_files} at a time; choose fewer.`);
        return;
    }
    busy = true;
    const files = [], lost = [];
    let next = 0;
    const sendSome = async () => {
        while (next < chosen.length) {
            const {file, name} = chosen[next++];
            try { files.push({name, path: (await upload(file)).path}); }
            catch { lost.push(name); }
            say(`Uploading: ${files.length + lost.length} of ${chosen.length}`);
        }
    };
    await Promise.all([sendSome(), sendSome(), sendSome()]);
    busy = false;
    say("");
    trigger("upload", {files, lost});
}

element.addEventListener("click", event => {
    const button = event.target.closest("button[data-for]");
    if (button && !busy) find("#" + button.dataset.for).click();
});
element.addEventListener("change", event => {
    const files = Array.from(event.target.files || []).map(file => ({file, name: file.webkitRelativePath || file.name}));
    event.target.value = "";
    send(files);
});
element.addEventListener("dragover", event => { event.preventDefault(); find(".sr-drop").classList.add("over"); });
element.addEventListener("dragleave", () => find(".sr-drop").classList.remove("over"));
element.addEventListener("drop", async event => {
    event.preventDefault();
    find(".sr-drop").classList.remove("over");
    const entries = Array.from(event.dataTransfer.items).map(item => item.webkitGetAsEntry()).filter(entry => entry);
    send((await Promise.all(entries.map(entry => within(entry, "")))).flat());
});
"""


def drop_zone(elem_id: str) -> gr.HTML:
    """Its `upload` event has files, as `uploads.received` takes them, and lost: the names of those that could not be uploaded."""
    return gr.HTML(_HTML, js_on_load=_JS, most_files=MOST_FILES, elem_id=elem_id)
