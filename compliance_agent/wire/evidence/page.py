"""An assessment as one HTML page for auditors: the holes first, then each citation with its checks.

The page stands alone (no script, no image, nothing from elsewhere), prints well, and says everything in
words; colour only repeats them. All text that came from a machine is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from compliance_agent.domain.evidence.assessment import Act, Assessment, CheckState
    from compliance_agent.wire.evidence.chain import Verification

ROWS_MAX: Final = 500
"""Most rows of a table of events; the CSV beside the page has all."""

NAME_MAX: Final = 24
"""Longest name of a machine that is kept on one line."""

_VERDICTS: Final = {
    "pass": "✓ pass",
    "fail": "✗ fail",
    "not_applicable": "- not applicable",
    "not_assessed": "? not assessed",
    "error": "! error",
}

_STYLE: Final = """
:root { --ink: #1b2430; --soft: #55606e; --line: #cfd6de; --paper: #fff; --tint: #f3f6f9;
  --good: #14633a; --bad: #a11421; --doubt: #7a4b00; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
.skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: 1rem; background: #fff; padding: .5rem; }
header, main, footer { max-width: 70rem; margin: 0 auto; padding: 1rem 1.5rem; }
header { border-bottom: 3px solid var(--ink); padding-top: 2rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.25rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .4rem; } p { margin: .4rem 0 .8rem; max-width: 46rem; }
.lead { color: var(--soft); margin: 0; } code { font: .88em/1.4 ui-monospace, "Liberation Mono", monospace;
  overflow-wrap: anywhere; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 1rem 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; min-width: 0; }
ul.tiles { list-style: none; padding: 0; margin: 1rem 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }
ul.tiles li { border: 1px solid var(--line); border-left: 6px solid var(--line); padding: .6rem .8rem; }
ul.tiles li.hole { border-left-color: var(--bad); } ul.tiles li.none { border-left-color: var(--good); }
ul.tiles b { display: block; font-size: 1.6rem; line-height: 1.2; } ul.tiles span { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .25rem 0 1rem; }
caption { text-align: left; color: var(--soft); padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
thead th { background: var(--tint); border-bottom: 2px solid var(--line); white-space: nowrap; }
.v { white-space: nowrap; font-weight: 600; } .v-pass { color: var(--good); } .v-fail, .v-error { color: var(--bad); }
.v-not_assessed { color: var(--doubt); } .v-not_applicable { color: var(--soft); }
.soft { color: var(--soft); } .nowrap { white-space: nowrap; }
.box { border: 1px solid var(--line); border-left: 6px solid var(--doubt); background: var(--tint);
  padding: .6rem 1rem; margin: 1rem 0; } .box.bad { border-left-color: var(--bad); }
.box.good { border-left-color: var(--good); } .box p:last-child, .box ul:last-child { margin-bottom: 0; }
footer { color: var(--soft); border-top: 1px solid var(--line); margin-top: 2rem; font-size: .9rem; }
@media print { body { font-size: 10pt; } header, main, footer { max-width: none; padding: 0 0 .5rem; }
  h2, h3 { break-after: avoid; } tr, .box, ul.tiles li { break-inside: avoid; } thead { display: table-header-group; }
  .scroll { overflow: visible; } a { color: inherit; text-decoration: none; } .skip, nav { display: none; }
  @page { margin: 18mm 14mm; } }
"""

_BARE: Final = (
    "Of 45 CFR 164.312: what no check of this evidence supports. Administrative and physical safeguards "
    "(164.308, 164.310) are outside of what a machine can check, but for those cited below"
)
_HOW: Final = """<p>You need this export, the site's public key from somebody other than who gave you the export, and
Python with the library <code>cryptography</code>. The short verifier is independent of the agent; read it, or write
your own from the format's specification (<code>docs/reference/evidence.md</code> of the project).</p>
<p><code>python3 verify.py . public-key.pem head.json</code></p>
<p>The head is the chain's last entry as Central Command, or anybody else, wrote it down. Without one, entries cut off
at the end cannot be told from entries that were never made.</p>"""


@dataclass(frozen=True, slots=True)
class PageInput:
    """What the page is made of.

    Attributes:
        assessment: What the entries say.
        verification: What the chain's verification found when the page was made.
        key_id: The key that signs now.
        made_at: When, UTC, as text.
        agent_version: The program that made it.

    """

    assessment: Assessment
    verification: Verification
    key_id: str
    made_at: str
    agent_version: str


def write_page(given: PageInput) -> str:
    """Return the page."""
    assessment = given.assessment
    parts = [
        *_head(given),
        '<main id="content">',
        *_verification(given.verification),
        *_holes(assessment),
        *_citations(assessment),
        *_remedies(assessment),
        *_acts(assessment),
        *_machines(assessment),
        *_how_to_verify(),
        "</main>",
        _foot(given),
    ]
    return "\n".join(parts)


def _foot(given: PageInput) -> str:
    return (
        f"<footer><p>Made {escape(given.made_at)} by compliance-agent {escape(given.agent_version)} from signed "
        "evidence. This page is a summary; the entries in <code>chain/</code> are the proof. A technical check "
        "supports a citation; it never makes anyone compliant.</p></footer></body></html>\n"
    )


def _head(given: PageInput) -> list[str]:
    assessment, head = given.assessment, given.verification.head
    title = f"HIPAA technical evidence: {assessment.site_id}"
    facts = [
        ("Site", escape(assessment.site_id)),
        ("Period", f"{_time(assessment.first_at)} to {_time(assessment.last_at)} (UTC)"),
        ("Machines", str(len(assessment.targets))),
        ("Entries in the period", f"{assessment.entries:,}"),
        ("Chain", f"<code>{escape(head.chain if head else 'none')}</code>"),
        ("Last entry", f"{head.seq:,}, SHA-256 <code>{escape(head.sha256)}</code>" if head else "none"),
        ("Signing key", f"<code>{escape(given.key_id)}</code>"),
    ]
    return [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        '<a class="skip" href="#content">Skip to the content</a>',
        f"<header><h1>{escape(title)}</h1>",
        '<p class="lead">What was checked, healed, decided and left undone, by citation of 45 CFR Part 164.</p>',
        f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)}</dl></header>',
    ]


def _verification(verification: Verification) -> list[str]:
    if verification.findings:
        rows = "".join(
            f"<li>{escape(one.kind.value)}: {escape(one.message)}</li>" for one in verification.findings[:50]
        )
        verdict = f'<div class="box bad"><p><b>✗ The chain does not verify.</b></p><ul>{rows}</ul></div>'
    else:
        verdict = (
            f'<div class="box good"><p><b>✓ The chain verified when this page was made:</b> {verification.entries:,} '
            "entries, each signed, in order, none missing between the first and the last. Verify it yourself; see the "
            "end of this page.</p></div>"
        )
    notes = "".join(f"<li>{escape(note)}</li>" for note in verification.notes[:50])
    return [verdict, f'<div class="box"><p><b>What the verifier notes</b></p><ul>{notes}</ul></div>' if notes else ""]


def _holes(assessment: Assessment) -> list[str]:
    excused = {(act.target_id, act.check_id): act for act in assessment.waivers()}
    gaps, unseen, held = assessment.gaps(), assessment.not_assessed(), assessment.held()
    waivers, drift, bare = assessment.waivers(), assessment.drift(), assessment.unsupported()
    days = sum((gap.last - gap.first).days + 1 for gap in gaps)
    tiles = [
        (len(drift), "checks failing at the end of the period"),
        (len(unseen), "checks not assessed, or in error"),
        (days, "machine-days not observed"),
        (len(held), "failing checks left alone on purpose"),
        (len(waivers), "waivers in force"),
        (len(bare), "technical safeguards without any check"),
        (len(assessment.oddities), "events of the chain itself"),
    ]
    cells = "".join(
        f'<li class="{"hole" if number else "none"}"><b>{number:,}</b><span>{name}</span></li>'
        for number, name in tiles
    )
    return [
        "<h2>What this evidence does not show</h2>",
        "<p>Read this first: whatever stands here is not proved by the rest of the page.</p>",
        f'<ul class="tiles">{cells}</ul>',
        "<h3>Failing at the end of the period</h3>",
        _table(
            "Checks that failed when they were last made, and what was done about each",
            ("Machine", "Check", "What was found", "What was done", "Citations"),
            ([_name(one.target_id), _check(one), _e(one.reason), _done(one, excused), _cited(one)] for one in drift),
        ),
        "<h3>Not assessed</h3>",
        _table(
            "Checks that could not be carried out when they were last tried",
            ("Machine", "Check", "Verdict", "Why", "Citations"),
            ([_name(one.target_id), _check(one), _verdict(one.verdict), _e(one.reason), _cited(one)] for one in unseen),
        ),
        "<h3>Days not observed</h3>",
        _table(
            "Days (UTC) without one scan that reached the machine, from its first entry on",
            ("Machine", "From", "To", "Days", "Why"),
            (
                [_name(gap.target_id), str(gap.first), str(gap.last), str((gap.last - gap.first).days + 1), _e(gap.why)]
                for gap in gaps
            ),
        ),
        "<h3>Suppressed, or waiting for somebody</h3>",
        _table(
            "Failing checks that are left alone on purpose, and until when",
            ("Machine", "Check", "State", "Why", "Until"),
            (
                [_name(one.target_id), _check(one), _e(one.outcome), _e(one.outcome_reason), _time(one.outcome_until)]
                for one in held
            ),
        ),
        "<h3>Waivers in force</h3>",
        _act_table("Risks that a person accepted", waivers),
        "<h3>Technical safeguards without any check</h3>",
        _table(
            _BARE,
            ("Citation", "Standard or implementation specification"),
            ([f"<code>{_e(citation)}</code>", _e(name)] for citation, name in bare.items()),
        ),
        "<h3>Events of the chain itself</h3>",
        _act_table("Refused entries, changed keys, restored state, removed segments", assessment.oddities),
    ]


def _citations(assessment: Assessment) -> list[str]:
    parts = ["<h2>By HIPAA citation</h2>"]
    for citation, states in assessment.citations().items():
        passed = sum(one.verdict == "pass" for one in states)
        judged = sum(one.verdict != "not_applicable" for one in states)
        parts += [
            f"<h3>45 CFR {escape(citation)}</h3>",
            _table(
                f"{passed} of {judged} applicable checks passed when they were last made",
                ("Machine", "Check", "Verdict", "What was found", "Last seen (UTC)", "Healed", "Entry"),
                (
                    [
                        _name(one.target_id),
                        _check(one),
                        _verdict(one.verdict),
                        _e(one.reason),
                        _time(one.observed_at),
                        str(one.healed),
                        str(one.seq),
                    ]
                    for one in states
                ),
            ),
        ]
    return parts if len(parts) > 1 else [*parts, "<p>No check was observed in this period.</p>"]


def _remedies(assessment: Assessment) -> list[str]:
    return [
        "<h2>What was mended</h2>",
        _table(
            "Each try to mend something; only <i>remediated</i>, after a fresh check passed, is success",
            ("Begun (UTC)", "Machine", "Check", "Outcome", "Why", "Rule", "Entry"),
            (
                [
                    _time(one.at),
                    _name(one.target_id),
                    _e(one.check_id),
                    _e(one.outcome),
                    _e(one.reason),
                    _e(one.rule_id),
                    str(one.seq),
                ]
                for one in assessment.remedies[-ROWS_MAX:]
            ),
            left_out=max(0, len(assessment.remedies) - ROWS_MAX),
        ),
    ]


def _acts(assessment: Assessment) -> list[str]:
    return ["<h2>What people decided</h2>", _act_table("Actions by named people", assessment.acts)]


def _machines(assessment: Assessment) -> list[str]:
    targets = [assessment.targets[name] for name in sorted(assessment.targets)]
    return [
        "<h2>Machines</h2>",
        _table(
            "How often each machine was reached",
            ("Machine", "Address", "First entry (UTC)", "Last entry (UTC)", "Scans", "Not reached", "Days observed"),
            (
                [
                    _name(one.target_id),
                    _e(one.address),
                    _time(one.first_at),
                    _time(one.last_at),
                    f"{one.scans:,}",
                    f"{one.unreached:,}",
                    str(len(one.days)),
                ]
                for one in targets
            ),
        ),
    ]


def _how_to_verify() -> list[str]:
    return [
        "<h2>How to verify this evidence</h2>",
        _HOW,
    ]


def _act_table(caption: str, acts: Sequence[Act]) -> str:
    return _table(
        caption,
        ("When (UTC)", "What", "Who", "Machine", "Check", "Reason", "Until", "Entry"),
        (
            [
                _time(one.at),
                _e(one.action.replace("_", " ")),
                _e(one.actor),
                _name(one.target_id or "all"),
                _e(one.check_id or "all"),
                _e(one.reason),
                _time(one.until),
                str(one.seq),
            ]
            for one in acts[-ROWS_MAX:]
        ),
        left_out=max(0, len(acts) - ROWS_MAX),
    )


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left_out: int = 0) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return f'<p class="soft">{caption}: none.</p>'
    more = f'<p class="soft">{left_out:,} earlier ones are in evidence.csv.</p>' if left_out else ""
    heads = "".join(f'<th scope="col">{name}</th>' for name in columns)
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption.replace("<i>", "").replace("</i>", ""))}" '
        f'tabindex="0"><table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _check(state: CheckState) -> str:
    return f'{escape(state.title or state.check_id)}<br><span class="soft nowrap">{escape(state.check_id)}</span>'


def _verdict(verdict: str) -> str:
    return f'<span class="v v-{escape(verdict)}">{escape(_VERDICTS.get(verdict, verdict))}</span>'


def _done(state: CheckState, excused: Mapping[tuple[str, str], Act]) -> str:
    waiver = next((excused[key] for key in _waiver_keys(state) if key in excused), None)
    if waiver is not None:
        until = f" until {_time(waiver.until)}" if waiver.until else ""
        return f"waived by {escape(waiver.actor)}{until}: {escape(waiver.reason)}"
    if not state.outcome:
        return "nothing recorded yet"
    return f"{escape(state.outcome.replace('_', ' '))}: {escape(state.outcome_reason)}"


def _waiver_keys(state: CheckState) -> Sequence[tuple[str, str]]:
    """Return the places whose waivers cover this check: itself, all checks of the machine, the check everywhere."""
    return ((state.target_id, state.check_id), (state.target_id, ""), ("", state.check_id), ("", ""))


def _cited(state: CheckState) -> str:
    return "<br>".join(f'<span class="nowrap">{escape(one)}</span>' for one in state.hipaa) or "none"


def _time(at: str) -> str:
    return f'<span class="nowrap">{escape(at[:16].replace("T", " "))}</span>' if at else "-"


def _name(text: str) -> str:
    return f'<span class="{"nowrap" if len(text) <= NAME_MAX else ""}">{escape(text)}</span>'


def _e(text: str) -> str:
    return escape(text)
