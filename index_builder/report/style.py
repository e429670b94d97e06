"""How a report's page looks: on light and dark screens, narrow ones, and paper. It needs no font and no address."""

from typing import Final

from index_builder.report.plots import COLOURS

_LIGHT: Final = """--text:#1a202c;--soft:#4a5568;--page:#fff;--box:#f6f8fa;--line:#d5dce4;--good:#1f6f43;
--bad:#b42318;--warn:#8a5a00;--bar:#0072b2;""" + "".join(
    f"--c{i}:{light};" for i, (light, _) in enumerate(COLOURS)
)
_DARK: Final = """--text:#e6edf3;--soft:#a9b4c0;--page:#0f141a;--box:#18202a;--line:#334155;--good:#5fd38d;
--bad:#ff8a80;--warn:#f0b849;--bar:#56b4e9;""" + "".join(
    f"--c{i}:{dark};" for i, (_, dark) in enumerate(COLOURS)
)

_BODY: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:var(--text);
  background:var(--page);overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0} h2{font-size:1.15rem;margin:2.2rem 0 .5rem} p{margin:.4rem 0}
.soft{color:var(--soft)}
.tiles{display:flex;flex-wrap:wrap;gap:.75rem;margin:1rem 0;padding:0;list-style:none}
.tiles li{background:var(--box);border:1px solid var(--line);border-radius:8px;padding:.5rem .9rem;min-width:6.5rem}
.tiles b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;min-width:20rem;margin:.3rem 0}
td,th{padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
  min-width:6rem;max-width:26rem}
th{font-weight:600;color:var(--soft);overflow-wrap:normal}
.n,.failed,.passed,.off,.pending,.applied,.unused{min-width:3.5rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font-size:.85em;white-space:nowrap}
.failed,.pending{color:var(--bad);font-weight:600}
.passed,.applied{color:var(--good);font-weight:600}
.off,.unused{color:var(--warn);font-weight:600}
.bars{width:100%;max-width:46rem}
.bars .bar{width:45%;padding-right:0}
.bar span{display:block;background:var(--bar);height:.9rem;margin-top:.25rem;border-radius:2px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:1.2rem 2rem}
figure{margin:0;break-inside:avoid;min-width:0} figcaption{font-weight:600;margin-bottom:.2rem}
svg{width:100%;height:auto;display:block} svg text{font-size:12px;fill:var(--soft)} .grid{stroke:var(--line)}
polyline{fill:none;stroke-width:2}
.legend{list-style:none;margin:.2rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;font-size:.9em}
.legend li{display:flex;align-items:center;gap:.4rem;min-width:0}
.key{width:24px;height:10px;flex:none;stroke-width:2.5}
"""
_PAPER: Final = """body{max-width:none;margin:0;font-size:11px} tr,figure{break-inside:avoid}
.scroll{overflow:visible} code{white-space:normal} .bar span{print-color-adjust:exact}"""

STYLE: Final = "".join(
    (
        f":root{{color-scheme:light dark;{_LIGHT}}}\n",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}",
        _BODY,
        *(
            f".c{i}{{stroke:var(--c{i})}} .c{i} circle{{fill:var(--c{i});stroke:none}}\n"
            for i in range(len(COLOURS))
        ),
        f"@media print{{{_PAPER}}}",
    )
)
