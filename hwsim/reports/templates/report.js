"use strict";
(() => {
  const templates = {{ templates }};
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // A finger scrolls the page; a mouse draws the part to magnify.
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const config = {
    displaylogo: false,
    displayModeBar: matchMedia("(min-width: 40rem)").matches,
    // Named one by one: others would send the figure to another host.
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
    plotlyServerURL: "",
    responsive: true,
  };
  const draw = () => {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const figure = JSON.parse(source.textContent);
      const layout = { dragmode, ...figure.layout, template: templates[dark.matches ? "dark" : "light"] };
      Plotly.react(source.dataset.figure, figure.data, layout, config);
    }
  };
  dark.addEventListener("change", draw);
  draw();
})();
