"""Where a visitor drops files and folders. Gradio's own component for files forgets in which folder each of them was."""

from __future__ import annotations

import gradio as gr

from utils.page.upload_tree import MOST_FILES

_TOLD_TOGETHER = 20  # files: what the server was not told of when the page is closed stays there for a day
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
let sent = Promise.resolve();

// All files below; what cannot be read is there by its name alone.
async function within(entry, below) {
    const name = below + entry.name, found = [];
    try {
        if (entry.isFile) return [{name, file: await new Promise((done, fail) => entry.file(done, fail))}];
        const reader = entry.createReader();
        for (;;) {
            const some = await new Promise((done, fail) => reader.readEntries(done, fail));
            if (!some.length) return found;
            for (const inner of some) found.push(...await within(inner, name + "/"));
        }
    } catch {
        return [...found, {name}];
    }
}

function sendAfterOthers(all) {
    const go = () => send(all);
    sent = sent.then(go, go);
}

async function send(all) {
    const chosen = all.filter(({name}) => !name.split("/").some(part => part.startsWith(".")));
    if (!chosen.length) {
        say("There is no file in what was chosen; hidden ones are left out.");
        return;
    }
    if (chosen.length > props.most_files) {
        say(`These are ${chosen.length} files, and this page takes ${props.most_files} at a time; choose fewer.`);
        return;
    }
    const files = [], lost = [];
    let next = 0, told = 0;
    const sendSome = async () => {
        while (next < chosen.length) {
            const {file, name} = chosen[next++];
            try {
                if (!file) throw new Error("unreadable");
                files.push({name, path: (await upload(file)).path});
            } catch { lost.push(name); }
            if (files.length - told >= props.told_together) {
                trigger("input", {files: files.slice(told)});
                told = files.length;
            }
            say(`Uploading: ${files.length + lost.length} of ${chosen.length}`);
        }
    };
    await Promise.all([sendSome(), sendSome(), sendSome()]);
    say("");
    trigger("upload", {files, lost});
}

element.addEventListener("click", event => {
    const button = event.target.closest("button[data-for]");
    if (button) find("#" + button.dataset.for).click();
});
element.addEventListener("change", event => {
    const files = Array.from(event.target.files || []).map(file => ({file, name: file.webkitRelativePath || file.name}));
    event.target.value = "";
    sendAfterOthers(files);
});
element.addEventListener("dragover", event => { event.preventDefault(); find(".sr-drop").classList.add("over"); });
element.addEventListener("dragleave", () => find(".sr-drop").classList.remove("over"));
element.addEventListener("drop", async event => {
    event.preventDefault();
    find(".sr-drop").classList.remove("over");
    const entries = Array.from(event.dataTransfer.items).map(item => item.webkitGetAsEntry()).filter(entry => entry);
    sendAfterOthers((await Promise.all(entries.map(entry => within(entry, "")))).flat());
});
"""


def drop_zone(elem_id: str) -> gr.HTML:
    """Its `upload` event has files, as `upload_tree.received` takes them, and lost: the names of those that could not be uploaded.

    Before that, some `input` events tell which files have arrived meanwhile.
    """
    return gr.HTML(_HTML, js_on_load=_JS, most_files=MOST_FILES, told_together=_TOLD_TOGETHER, elem_id=elem_id)
