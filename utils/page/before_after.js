// Two pictures over each other, of which the border shows more or less; a zoom moves both, and the border stays where it is in the window.
const STEP = 1.25, CLOSEST = 4; // screen pixels for a pixel of the picture, at the most
let border = 50, shown = null, held = null;
const find = words => element.querySelector(words);

function most() {
    return Math.max(CLOSEST, CLOSEST * (props.value?.width ?? 1) / (find(".sr-pair")?.clientWidth || 1));
}

function follow() {
    element.style.setProperty("--border", border + "%");
    const slider = find("input");
    if (!slider) return;
    slider.value = border;
    slider.setAttribute("aria-valuetext", `${Math.round(border)} percent before`);
    find("[data-zoom=out]").disabled = find("[data-zoom=whole]").disabled = zoom <= 1;
    find("[data-zoom=in]").disabled = zoom >= most();
    find(".sr-full").hidden = !document.fullscreenEnabled;
    find(".sr-full").textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
}

function pan(across, along) {
    right += across / zoom;
    down += along / zoom;
    apply();
}

function pointed(event) {
    const box = find(".sr-pair").getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function moveBorder(event) {
    border = inside(100 * pointed(event)[0], 0, 100);
    apply();
}

element.addEventListener("input", event => { border = Number(event.target.value); apply(); });
element.addEventListener("click", event => {
    const wanted = {in: zoom * STEP, out: zoom / STEP, whole: 1}[event.target.dataset.zoom];
    if (wanted) zoomTo(wanted);
    if (event.target.closest(".sr-full")) document.fullscreenElement ? document.exitFullscreen() : find(".sr-compared").requestFullscreen();
});
document.addEventListener("fullscreenchange", apply);
element.addEventListener("wheel", event => {
    const wanted = inside(zoom * Math.exp(-event.deltaY * (event.deltaMode ? 33 : 1) / 400), 1, most()); // other modes count lines
    if (!event.target.closest(".sr-stage") || wanted === zoom) return; // with nothing to zoom, the page scrolls
    event.preventDefault();
    zoomTo(wanted, ...pointed(event));
}, {passive: false});

element.addEventListener("pointerdown", event => {
    const stage = event.target.closest(".sr-stage");
    if (!stage || event.button) return;
    stage.setPointerCapture(event.pointerId);
    held = {x: event.clientX, y: event.clientY, pans: zoom > 1 && !event.target.closest(".sr-border"), moved: false};
    if (!held.pans) moveBorder(event);
});
element.addEventListener("pointermove", event => {
    const pair = find(".sr-pair");
    if (!held || !pair) return;
    if (!held.pans) return moveBorder(event);
    const [across, along] = [held.x - event.clientX, held.y - event.clientY];
    if (!held.moved && Math.hypot(across, along) < 4) return; // a hand trembles when it clicks
    Object.assign(held, {x: event.clientX, y: event.clientY, moved: true});
    pan(across / pair.clientWidth, along / pair.clientHeight);
});
element.addEventListener("pointerup", event => {
    if (held?.pans && !held.moved) moveBorder(event);
    held = null;
});
element.addEventListener("pointercancel", () => { held = null; });

element.addEventListener("keydown", event => {
    if (!event.target.closest(".sr-stage") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = {ArrowUp: [0, -0.1], ArrowDown: [0, 0.1], ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0]}[event.key];
    const pans = step && zoom > 1 && event.target.closest(".sr-pair");
    if (!pans && !["+", "=", "-"].includes(event.key)) return;
    event.preventDefault();
    if (pans) pan(...step);
    else zoomTo(event.key === "-" ? zoom / STEP : zoom * STEP);
});

function show() {
    const address = props.value?.after?.url ?? null;
    if (address !== shown) [shown, zoom, right, down, held] = [address, 1, 0.5, 0.5, null];
    apply();
}
watch("value", show);
show();
