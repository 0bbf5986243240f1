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
  // Steps of a figure by its slider and buttons, and by keys, of which Plotly has none.
  const control = (plot) => {
    let playing = false;
    const run = ({ args }) => {
      playing = args[0] === null;
      // What is interrupted is rejected.
      Plotly.animate(plot, ...args).then(() => (playing = false), () => {});
    };
    plot.on("plotly_buttonclicked", ({ button }) => run(button));
    plot.on("plotly_sliderchange", ({ step, interaction }) => interaction && run(step));
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", "Steps: arrow keys move, the space bar plays and stops");
    plot.addEventListener("keydown", (event) => {
      const { sliders: [{ active, steps }], updatemenus: [{ buttons: [play, pause] }] } = plot.layout;
      const end = steps.length - 1;
      const to = { ArrowLeft: active - 1, ArrowRight: active + 1, Home: 0, End: end }[event.key];
      if (event.key === " ") run(playing ? pause : play);
      else if (to !== undefined) run(steps[Math.min(Math.max(to, 0), end)]);
      else return;
      event.preventDefault();
    });
  };
  const draw = () => {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const { data, frames, ...figure } = JSON.parse(source.textContent);
      const layout = { dragmode, ...figure.layout, template: templates[dark.matches ? "dark" : "light"] };
      const plot = document.getElementById(source.dataset.figure);
      const first = !plot.layout;
      if (frames) for (const part of [...layout.sliders[0].steps, ...layout.updatemenus[0].buttons]) part.execute = false;
      Plotly.react(plot, { data, layout, frames, config });
      if (frames && first) control(plot);
    }
  };
  dark.addEventListener("change", draw);
  draw();
})();
