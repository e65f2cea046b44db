// Icons, drawn as strokes on 24 × 24.
import { svg } from "./dom.js";

const PATHS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16.2 16.2 21 21",
  image: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 3-3L20 17M15.5 9.2v.1",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  down: "M5 9l7 7 7-7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  crop: "M7 2v15h15M2 7h15v15",
  filter: "M3 5h18M7 12h10M10 19h4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z",
  auto: "M12 3.5a8.5 8.5 0 1 0 0 17ZM12 3.5a8.5 8.5 0 0 1 0 17",
  key: "M8 10.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM11.2 11.8 20 3M16 7l3 3",
  why: "M9.2 9a2.9 2.9 0 1 1 4.3 2.6c-1 .6-1.5 1.1-1.5 2.4M12 17.5v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z",
  similar: "M4 4h10v10H4zM10 10h10v10H10z",
  open: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  tag: "M3 12V4h8l10 10-8 8zM7.5 8.2v.1",
  place: "M12 21s-7-6.2-7-11.5a7 7 0 0 1 14 0C19 14.8 12 21 12 21ZM12 7.2a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8Z",
  warning: "M12 3.5 22 20H2zM12 10v4.5M12 17.2v.1",
  empty: "M4 5h16v14H4zM4 15l5-4 4 3 3-2 4 3",
  undo: "M4 9h10a6 6 0 0 1 0 12H8M4 9l5-5M4 9l5 5",
  more: "M5 12v.1M12 12v.1M19 12v.1",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  zoomin: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16.2 16.2 21 21M11 8v6M8 11h6",
  zoomout: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16.2 16.2 21 21M8 11h6",
  download: "M12 4v11M7 10.5l5 5 5-5M4 20h16",
};

/** An icon by name; decorative, so its button needs a label. */
export function icon(name) {
  if (!(name in PATHS)) throw new Error(`no icon is called ${name}`);
  return svg(
    "svg",
    { class: "icon-svg", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
  );
}
