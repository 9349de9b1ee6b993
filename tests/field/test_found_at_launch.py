"""Inputs 04, 19 and 26: what can never have a value is refused at launch, with all that stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

PARAMS = "finetune.learning_rate choice [0.001]"


@pytest.fixture
def refused(launch, http):
    """Launch, expect a refusal that leaves nothing behind, and give its words."""

    def ask(params=PARAMS, **options):
        answer = launch(params, **options)
        assert answer.status_code == 422, answer.text
        assert http.get("/api/v1/studies").json()["items"] == []
        return answer.json()["detail"]

    return ask


@pytest.fixture
def data(settings):
    """The folder of the data sets, and a function that writes another one."""

    def write(name: str, **files: str) -> Path:
        folder = settings.data_root / name
        folder.mkdir()
        for suffix, content in files.items():
            (folder / f"{name}.{suffix.replace('_', '.')}").write_text(content)
        return folder

    return write


@pytest.mark.parametrize(
    "split", [{"RS": [0.75, 0, 0.25]}, {"LS": "test_only"}, {"TS": [8, 0, 2]}, {"RS": [1, 0, 0]}, {"RS": [0, 0.5, 0.5]}]
)
def test_a_split_without_a_part(refused, split):
    """Input 04."""
    said = refused(config={"eval_args": {"split": split}})
    assert "eval_args split = " in said
    assert ("leaves nothing to train on" if split == {"RS": [0, 0.5, 0.5]} else "leaves nothing to validate on") in said


def test_a_step_that_never_validates(refused):
    assert "eval_step = 0: nothing is ever validated" in refused(config={"eval_step": 0})
    assert "eval_step = 0: nothing is ever validated" in refused("eval_step choice [1, 0]")


def test_a_split_that_leaves_the_test_out_is_fine(launch):
    assert launch(PARAMS, config={"eval_args": {"split": {"LS": "valid_only"}}}).status_code == 201


def test_an_attribute_without_values(refused):
    """Input 19."""
    said = refused(dataset="c33_noclass")
    assert "item_attribute = 'class': no item of " in said
    assert "has a value of class" in said


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("c04_datets", ["c04_datets.inter, line 2: timestamp = '2015-02-03 12:00:00' is not a number", "It is a date"]),
        ("c10b_float", ["c10b_float.item says that the column holds numbers (float)", "class:token_seq in line 1"]),
        ("c17b_csv_nosep", ["c17b_csv_nosep.inter, line 1: the columns are separated by ','", "field_separator: ','"]),
        ("c17b_csv_nosep", ["2 things", "c17b_csv_nosep.item, line 1: the columns are separated by ','"]),
        ("c18b_noheader", ["c18b_noheader.inter, line 1: ", "names no columns. The first line must name each"]),
    ],
)
def test_data_that_can_not_be_used(refused, dataset, words):
    """Input 26."""
    said = refused(dataset=dataset)
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    "asked", [{"topk": [10, 50]}, {"valid_metric": "NDCG@50"}, {"topk": 50, "valid_metric": "Hit@5"}]
)
def test_lists_longer_than_there_are_items(refused, asked):
    assert "ask for lists of 50: there are only 40 items" in refused(config=asked)


def test_users_with_one_interaction_each(refused, data):
    rows = "".join(f"u{number}\ti{number % 4}\t{number}\n" for number in range(20))
    items = "item_id:token\tclass:token\n" + "".join(f"i{number}\ta\n" for number in range(4))
    data("once", inter="user_id:token\titem_id:token\ttimestamp:float\n" + rows, item=items)
    said = refused(dataset="once")
    assert "no training sample is left: every user has too few interactions" in said


@pytest.mark.parametrize(("split", "least"), [("valid_and_test", 4), ("valid_only", 3)])
def test_users_with_too_few_interactions_to_validate_on(refused, launch, data, split, least):
    items = "item_id:token\tclass:token\n" + "".join(f"i{number}\ta\n" for number in range(12))
    for name, events in (("few", least - 1), ("enough", least)):
        rows = "".join(f"u{user}\ti{(user + step) % 12}\t{step}\n" for user in range(12) for step in range(events))
        data(name, inter="user_id:token\titem_id:token\ttimestamp:float\n" + rows, item=items)
    config = {"eval_args": {"split": {"LS": split}}}
    said = refused(dataset="few", config=config)
    assert f"no sample is left to validate on. A user needs {least} interactions for one" in said
    assert launch(PARAMS, dataset="enough", config=config).status_code == 201


def test_filters_that_leave_too_little(refused):
    assert "no row of .inter is left after filtering" in refused(config={"user_inter_num_interval": "[100,inf)"})


def test_ready_files_without_rows_to_validate_on(refused, data):
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    rows = "".join(f"u{user}\ti0 i1\ti{user}\n" for user in range(12))
    items = "item_id:token\tclass:token\n" + "".join(f"i{number}\ta\n" for number in range(12))
    data("ready", a_inter=header + rows, b_inter=header, c_inter=header + rows, item=items)
    config = {"benchmark_filename": ["a", "b", "c"], "alias_of_item_id": ["item_id_list"], "load_col": None}
    said = refused(dataset="ready", config=config)
    assert "no sample is left to validate on. The file ready.b.inter has no rows" in said


READY = {"benchmark_filename": ["a", "b", "c"], "alias_of_item_id": ["item_id_list"], "load_col": None}


@pytest.fixture
def ready(data):
    """Write a data set of ready files of 12 samples each; lines of one of them can be changed."""

    def write(where: str = "a", changed: dict[int, str] | None = None, header: str | None = None) -> Path:
        files = {}
        for part in "abc":
            lines = ["user_id:token\titem_id_list:token_seq\titem_id:token"]
            lines += [f"u{user}\ti0 i1\ti{user}" for user in range(12)]
            for number, line in (changed or {}).items() if part == where else ():
                lines[number - 1] = line
            files[f"{part}_inter"] = "\n".join(lines) + "\n"
        items = "item_id:token\tclass:token\n" + "".join(f"i{number}\ta\n" for number in range(12))
        return data("ready", item=items, **files)

    return write


LONG = " ".join(["i0", "i1"] * 4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({5: f"u3\t{LONG}\ti3"}, "line 5: item_id_list has more items than MAX_ITEM_LIST_LENGTH = 6"),
        ({5: f"u3\t{LONG}\ti3"}, "MAX_ITEM_LIST_LENGTH: 8, or seq_len: {item_id_list: 6}, which keeps the first 6"),
        ({5: "u3\t\ti3"}, "line 5: item_id_list is empty, and models need a history. Take the row out."),
        ({5: "u3\t \ti3"}, "line 5: item_id_list is empty"),
        ({5: "u3\ti0 i1\t"}, "line 5: item_id is missing, so that the row is no sample."),
        ({5: "u3\ti0 i1\tNA"}, "line 5: item_id is missing, so that the row is no sample."),
        ({5: "\ti0 i1\ti3"}, "line 5: user_id is missing"),
        ({3: "", 5: "\ti0 i1\ti3"}, "line 5: user_id is missing"),
        ({5: "u3\t\t", 7: f"u5\t{LONG}\ti5"}, "line 5: item_id is missing"),
        ({5: "u3\t\t", 7: f"u5\t{LONG}\ti5"}, "line 5: item_id_list is empty"),
        ({5: "u3\t\t", 7: f"u5\t{LONG}\ti5"}, "line 7: item_id_list has more items than"),
        ({1: "user_id:token\titem_list:token_seq\titem_id:token"}, "no loaded column item_id_list:token_seq"),
        ({1: "user_id:token\titem_id_list:token\titem_id:token"}, "no loaded column item_id_list:token_seq"),
    ],
)
def test_rows_of_ready_files_that_are_no_samples(refused, ready, changed, words):
    ready("b", changed)
    said = refused(dataset="ready", config=READY | {"MAX_ITEM_LIST_LENGTH": 6})
    assert "ready.b.inter" in said
    assert words in said


@pytest.mark.parametrize("where", ["a", "b", "c"])
def test_each_of_the_ready_files_is_looked_at(refused, ready, where):
    ready(where, {5: "u3\t\ti3", 7: "u5\t\ti5"})
    said = refused(dataset="ready", config=READY)
    assert f"ready.{where}.inter, line 5: item_id_list is empty" in said
    assert "(2 rows of this file are like that.)" in said


def test_ready_histories_are_no_longer_than_any_trial_takes(refused, launch, ready):
    ready("c", {5: f"u3\t{LONG}\ti3"})
    params = "MAX_ITEM_LIST_LENGTH choice [20, 6]"
    assert "line 5: item_id_list has more items than MAX_ITEM_LIST_LENGTH = 6" in refused(
        params, dataset="ready", config=READY
    )
    for number, (search, fixed) in enumerate(
        [("MAX_ITEM_LIST_LENGTH choice [60, 8]", {}), (PARAMS, {"MAX_ITEM_LIST_LENGTH": 8})]
    ):
        answer = launch(search, name=f"fine-{number}", dataset="ready", config=READY | fixed)
        assert answer.status_code == 201, answer.text


def test_ready_histories_may_be_shortened(launch, ready, run_all, http):
    ready("c", {5: f"u3\t{LONG}\ti3"})
    config = READY | {"MAX_ITEM_LIST_LENGTH": 6, "seq_len": {"item_id_list": 6}}
    assert launch(PARAMS, dataset="ready", config=config).status_code == 201
    run_all()
    assert http.get("/api/v1/studies/study").json()["counts"] == {"completed": 1}


def test_every_column_that_trials_may_take_is_looked_at(refused, data):
    inter = "user_id:token\titem_id:token\ttimestamp:float\n"
    inter += "".join(f"u{user}\ti{(user + step) % 12}\t{step}\n" for user in range(12) for step in range(5))
    items = "item_id:token\tgenre:token\tempty:token\tyear:float\n"
    data("columns", inter=inter, item=items + "".join(f"i{number}\ta\t\t1990\n" for number in range(12)))
    said = refused("item_attribute choice ['genre', 'empty', 'year', 'class']", dataset="columns")
    assert "3 things stand in the way" in said
    for words in ("has a value of empty", "year:token or year:token_seq in line 1", "item_attribute = 'class'"):
        assert words in said


def test_all_that_stands_in_the_way_is_named_at_once(refused):
    said = refused(
        dataset="c33_noclass",
        config={
            "eval_args": {"split": {"LS": "test_only"}},
            "topk": [5, 500],
            "eval_step": 0,
            "pre_model_path": "nowhere.pth",
        },
    )
    assert "5 things stand in the way of every trial. (1) eval_args split" in said
    for words in ("nothing is ever validated", "nowhere.pth", "has a value of class", "lists of 500"):
        assert words in said


def test_the_command_ends_with_2(tuner, tmp_path):
    params = tmp_path / "hp.test"
    params.write_text(PARAMS + "\n")
    code, said = tuner("run", "--model=S3Rec", "--dataset=c33_noclass", f"--params_file={params}")
    assert code == 2
    assert "has a value of class" in said
