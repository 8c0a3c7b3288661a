// All pictures of the sheet are seen at one zoom and in one place, so that like is compared with like.
let shown = null, held = null;
const most = () => Number(element.querySelector(".sr-zoom input")?.max ?? 1);

function follow() {
    const slider = element.querySelector(".sr-zoom input");
    if (slider) slider.value = zoom;
}

function pointed(event, view) {
    const box = view.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

const viewOf = event => event.target.closest(".sr-view");

element.addEventListener("input", event => zoomTo(Number(event.target.value)));
element.addEventListener("click", event => {
    if (event.target.closest(".sr-whole")) zoomTo(1);
    const use = event.target.closest(".sr-use");
    if (use) trigger("use", {number: Number(use.dataset.number)});
});
element.addEventListener("wheel", event => {
    const view = viewOf(event);
    const wanted = Math.min(Math.max(zoom * Math.exp(-event.deltaY * (event.deltaMode ? 33 : 1) / 400), 1), most()); // other modes count lines
    if (!view || wanted === zoom) return; // with nothing to zoom, the page scrolls
    event.preventDefault();
    zoomTo(wanted, ...pointed(event, view));
}, {passive: false});
element.addEventListener("dblclick", event => {
    const view = viewOf(event);
    if (view) zoomTo(zoom > 1 ? 1 : most() / 2, ...pointed(event, view));
});
element.addEventListener("pointerdown", event => {
    viewOf(event)?.setPointerCapture(event.pointerId);
    held = {pointer: event.pointerId, x: event.clientX, y: event.clientY};
});
element.addEventListener("pointermove", event => {
    const view = viewOf(event);
    if (!view?.hasPointerCapture(event.pointerId) || held.pointer !== event.pointerId) return;
    right -= (event.clientX - held.x) / view.clientWidth / zoom;
    down -= (event.clientY - held.y) / view.clientHeight / zoom;
    Object.assign(held, {x: event.clientX, y: event.clientY});
    apply();
});
element.addEventListener("keydown", event => {
    const step = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]}[event.key];
    const wanted = step ? zoom > 1 : ["+", "=", "-"].includes(event.key);
    if (!viewOf(event) || !wanted || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!step) return zoomTo(event.key === "-" ? zoom / 1.25 : zoom * 1.25);
    right += step[0] * 0.1 / zoom;
    down += step[1] * 0.1 / zoom;
    apply();
});

function show() {
    const value = props.value;
    if (value && value.run !== shown) [shown, zoom, down, right] = [value.run, 1, ...value.spot];
    apply();
}
watch("value", show);
show();
