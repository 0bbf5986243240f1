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
  // Plotly's own slider and buttons take no keys.
  const control = (plot) => {
    let playing = false;
    const press = (button) => Plotly.animate(plot, ...button.args).catch(() => {});
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", "Steps: arrow keys move, the space bar plays and stops");
    plot.addEventListener("keydown", (event) => {
      const { sliders, updatemenus } = plot.layout;
      const { active, steps } = sliders[0];
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -active, End: steps.length - 1 - active }[event.key];
      const [play, pause] = updatemenus[0].buttons;
      if (event.key === " ") press((playing = !playing) ? play : pause);
      else if (move !== undefined) {
        playing = false;
        press(steps[Math.min(Math.max(active + move, 0), steps.length - 1)]);
      } else return;
      event.preventDefault();
    });
    plot.on("plotly_animated", () => (playing = false));
  };
  const draw = () => {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const { data, frames, ...figure } = JSON.parse(source.textContent);
      const layout = { dragmode, ...figure.layout, template: templates[dark.matches ? "dark" : "light"] };
      const plot = document.getElementById(source.dataset.figure);
      const first = !plot.layout;
      Plotly.react(plot, { data, layout, frames, config });
      if (frames && first) control(plot);
    }
  };
  dark.addEventListener("change", draw);
  draw();
})();
