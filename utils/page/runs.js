// Where a run is started and where it is stopped are never there together, and what has the focus when it goes leaves it to nothing.
const RUNS = [
    {starts: ["process", "look"], stops: "cancel", status: "status"},
    {starts: ["batch-process"], stops: "batch-cancel", status: "batch-status"},
    {starts: ["compare"], stops: "cancel-compare", status: "compare-status"},
];
const seen = id => document.getElementById(id)?.offsetParent && document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let used = null, running = new Set();

document.addEventListener("pointerdown", () => { used = null; }, true); // whoever presses elsewhere wants the focus there
document.addEventListener("focusin", event => { used = event.target.id; }, true);

// What stands above may still come and go, so it is looked after for a while, unless whoever sits there scrolls.
function bringIntoView(status) {
    const until = performance.now() + 3000, left = new AbortController();
    for (const kind of ["wheel", "touchmove", "keydown"]) document.addEventListener(kind, () => left.abort(), {passive: true, signal: left.signal});
    const look = () => {
        const box = seen(status)?.getBoundingClientRect();
        if (left.signal.aborted || !box || performance.now() > until) return left.abort();
        if (box.top < 0 || box.bottom > innerHeight) seen(status).scrollIntoView({block: "nearest", behavior: calm.matches ? "auto" : "smooth"});
        setTimeout(look, 500);
    };
    requestAnimationFrame(look);
}

function follow() {
    for (const {starts, stops, status} of RUNS) {
        const stop = seen(stops), start = starts.includes(used) ? stop : used === stops && seen(starts[0]);
        if (start && !start.disabled && document.activeElement === document.body) start.focus({preventScroll: true});
        if (stop && !running.has(stops)) bringIntoView(status);
        if (stop) running.add(stops);
        else if (seen(starts[0])) running.delete(stops);
    }
}
new MutationObserver(follow).observe(document.body, {childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"]});
