"use strict";
(() => {
  const templates = {{ templates }};
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // A finger scrolls the page; a mouse draws the part to magnify.
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    plotlyServerURL: "",
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
