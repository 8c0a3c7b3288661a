// All pictures of the sheet are seen at one zoom and in one place, so that like is compared with like.
let zoom = 1, right = 0.5, down = 0.5, shown = null;
const inside = (value, low, high) => Math.min(Math.max(value, low), high);
const most = () => Number(element.querySelector(".sr-zoom input")?.max ?? 1);

function apply() {
    zoom = inside(zoom, 1, most());
    right = inside(right, 0.5 / zoom, 1 - 0.5 / zoom);
    down = inside(down, 0.5 / zoom, 1 - 0.5 / zoom);
    element.style.setProperty("--zoom", zoom);
    element.style.setProperty("--across", 100 * (0.5 - right) + "%");
    element.style.setProperty("--along", 100 * (0.5 - down) + "%");
    element.classList.toggle("zoomed", zoom > 1);
    const slider = element.querySelector(".sr-zoom input");
    if (slider) slider.value = zoom;
}

// What is under the pointer stays there.
function zoomTo(wanted, x = 0.5, y = 0.5) {
    const before = zoom;
    zoom = inside(wanted, 1, most());
    right += (x - 0.5) * (1 / before - 1 / zoom);
    down += (y - 0.5) * (1 / before - 1 / zoom);
    apply();
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
    if (!view) return;
    event.preventDefault();
    zoomTo(zoom * Math.exp(-event.deltaY / 400), ...pointed(event, view));
}, {passive: false});
element.addEventListener("dblclick", event => {
    const view = viewOf(event);
    if (view) zoomTo(zoom > 1 ? 1 : most() / 2, ...pointed(event, view));
});
element.addEventListener("pointerdown", event => viewOf(event)?.setPointerCapture(event.pointerId));
element.addEventListener("pointermove", event => {
    const view = viewOf(event);
    if (!view?.hasPointerCapture(event.pointerId)) return;
    right -= event.movementX / view.clientWidth / zoom;
    down -= event.movementY / view.clientHeight / zoom;
    apply();
});
element.addEventListener("keydown", event => {
    const step = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]}[event.key];
    if (!viewOf(event) || !(step || ["+", "=", "-"].includes(event.key))) return;
    event.preventDefault();
    if (!step) return zoomTo(event.key === "-" ? zoom / 1.25 : zoom * 1.25);
    right += step[0] * 0.1 / zoom;
    down += step[1] * 0.1 / zoom;
    apply();
});

function follow() {
    const value = props.value;
    if (value && value.run !== shown) [shown, zoom, down, right] = [value.run, 1, ...value.spot];
    apply();
}
watch("value", follow);
follow();
