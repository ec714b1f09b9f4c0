package report

// style is the style sheet of the page. Colours are named once for light and once for dark; those of the memory differ
// in brightness too, for readers who don't tell hues apart.
const style = `:root {
  color-scheme: light dark;
  --page: #fbfbfa; --box: #ffffff; --line: #dcdcd8; --text: #1c1e21; --note: #62666d;
  --alarm: #b3261e; --alarm-box: #fdecea; --mark: #ffe08a; --mark-text: #1c1e21; --bar: #8fb3e0;
  --m0: #1f4e8c; --m1: #7fb2e5; --m2: #8a3ffc; --m3: #cbb2f5; --m4: #b8860b; --m5: #e3c16f; --m6: #0f766e; --m7: #6b7280; --free: #e6e6e2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --box: #1d2024; --line: #363b42; --text: #e4e6e9; --note: #9aa1ab;
    --alarm: #ff8a80; --alarm-box: #3a1f1d; --mark: #6b5200; --mark-text: #fff4d1; --bar: #37577f;
    --m0: #4f8fe0; --m1: #1f4a7a; --m2: #b48cf7; --m3: #58398c; --m4: #e0b040; --m5: #7a5c14; --m6: #3fb8a8; --m7: #8b93a0; --free: #2b2f35;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1.25rem; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
header { border-left: 4px solid var(--alarm); background: var(--alarm-box); padding: .9rem 1.1rem; border-radius: 4px; }
h1 { margin: 0 0 .6rem; font-size: 1.35rem; line-height: 1.3; color: var(--alarm); overflow-wrap: anywhere; }
h2 { margin: 0 0 .6rem; font-size: 1.05rem; overflow-wrap: anywhere; }
h3 { margin: 1.2rem 0 .3rem; font-size: .95rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; margin: 0; }
dt { color: var(--note); }
dd { margin: 0; overflow-wrap: anywhere; }
section { margin-top: 1rem; padding: 1rem 1.1rem; background: var(--box); border: 1px solid var(--line); border-radius: 4px; }
.note { color: var(--note); }
p { margin: .4rem 0; }
.hint { border-left: 4px solid var(--alarm); background: var(--alarm-box); padding: .3rem .7rem; }
details { border-top: 1px solid var(--line); padding: .3rem 0; }
h2 + details { border-top: 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
pre, .stack, .names { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
.stack { list-style: none; margin: .3rem 0; padding: 0 0 0 .2rem; overflow-wrap: anywhere; }
.stack .note { border-top: 1px dashed var(--line); margin-top: .2rem; padding-top: .2rem; }
pre { margin: 0; overflow-x: auto; }
mark { background: var(--mark); color: var(--mark-text); }
ul { margin: .3rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--note); }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.memory { display: flex; height: 2.2rem; border: 1px solid var(--line); border-radius: 4px; overflow: hidden; background: var(--free); }
.memory i, .key, .bar i { display: block; }
.memory i + i { border-left: 1px solid var(--box); }
.parts { margin-top: .7rem; }
.parts td:first-child { white-space: nowrap; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid var(--line); border-radius: 2px; }
.bar { width: 50%; }
.bar i { height: 4px; min-width: 1px; background: var(--bar); border-radius: 2px; }
.m0 { background: var(--m0); } .m1 { background: var(--m1); } .m2 { background: var(--m2); } .m3 { background: var(--m3); }
.m4 { background: var(--m4); } .m5 { background: var(--m5); } .m6 { background: var(--m6); } .m7 { background: var(--m7); } .free { background: var(--free); }
footer { margin: 1rem 0; color: var(--note); font-size: .85rem; }
@media print { section, header { break-inside: avoid-page; } }
`
