"""The report's texts are escaped, its gallery stays small, its notes say what matters."""

from tasks.domain.judging import Judgement, RunFigures
from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.gallery import Tile
from tasks.land import Landed
from tasks.report import GALLERY_BYTES, default_report, gallery_markdown
from tasks.report_page import notes_of

LANDED = Landed(run_id="r", version="v1", manifest="a" * 64, rows=3, is_verified=True, problems=())
EVIL = '<img src=x onerror=alert(1)> | "quoted" [link](http://x)'


def tile(prompt: str, size: int = 1000) -> Tile:
    return Tile(
        id="0" * 32, kind=prompt, prompt=prompt, source=prompt,
        strip="data:image/jpeg;base64," + "A" * size,
        s_i=0.8, realism=0.7, utility=0.9, d_plaus=0.1, making="strength 0.5", is_placebo=False,
        reasons=(),
    )  # fmt: skip


def test_user_text_cannot_become_markup_in_the_gallery():
    text = gallery_markdown(LANDED, [tile(EVIL)])
    assert "<img" not in text
    assert "](http" not in text
    heading, _, picture = text.splitlines()[-3:]
    assert heading.startswith("## &lt;img src=x")
    assert picture.count("](") == 1
    assert picture.endswith("S_i 0.80, realism 0.70, D_plaus 0.10")


def test_a_kind_and_prompt_head_all_their_pictures():
    text = gallery_markdown(LANDED, [tile("crack"), tile("crack"), tile("pore")])
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert heads == ["# POOL★ v1", "## crack: crack", "## pore: pore"]
    assert text.count("![crack]") == 2


def test_the_gallery_is_cut_before_it_weighs_too_much():
    text = gallery_markdown(LANDED, [tile("crack", 100_000) for _ in range(30)])
    assert len(text) < GALLERY_BYTES + 2000
    assert "17 more in the HTML report" in text


def params(target: int = 5) -> GrowParams:
    spec = PromptSpec(kind="crack", prompt="a crack", target=target)
    return GrowParams(images="x", pool="pools/a", prompts=(spec,))


def test_notes_warn_of_artifacts_shortfalls_and_missing_ko():
    figures = RunFigures(
        auc=0.9, auc_low=0.85, auc_high=0.95, is_alarming=True, ko_method="one_class"
    )
    notes = " ".join(notes_of(params(), LANDED, Judgement(figures=figures)))
    assert "Alarm" in notes
    assert "0.90" in notes
    assert "one-class" in notes
    assert "Fewer accepted than wanted for crack" in notes
    broken = LANDED.model_copy(update={"is_verified": False, "problems": ("pool: row x",)})
    assert "pool: row x" in notes_of(params(), broken, Judgement(figures=figures))[0]


def test_the_report_lies_beside_the_pool():
    assert default_report("pools/a") == "pools/report.html"
    assert default_report("s3://bucket/a") == "s3://bucket/report.html"
