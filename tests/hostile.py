"""Input that no reader was written for, made by chance: broken bytes, odd values, tables and settings out of joint.

What a reader makes of it is either sound or one short message that names the place. By default the properties look at
a few hundred cases, the same each time. By hand, at others and at 25 times as many:

    pytest tests/test_hostile_*.py --hypothesis-profile=long --timeout=0
"""

import contextlib
import copy
import time

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st

from fadecast.errors import InputError

LONGEST_MESSAGE = 5000
"""Characters."""
MOST_SECONDS = 10.0
"""Of the processor for one case, however busy the machine; what waits is ended by the time limit of the test."""
_USUAL = 100


def cases(count):
    """Look at so many cases by default, and as many times more as the profile asks for than the usual one."""
    asked = settings.default.max_examples
    return settings(
        max_examples=max(1, count * asked // _USUAL),
        derandomize=asked == _USUAL,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refused_or_sound(kinds, begins):
    """Allow an error of some kinds, whose message is short, on the subject and says something; and no hang."""
    began = time.process_time()
    try:
        yield
    except kinds as error:
        message = str(error)
        assert message.startswith(str(begins)), message[:300]
        assert len(str(begins)) + 3 < len(message) < LONGEST_MESSAGE + len(str(begins)), message[:300]
        # What a terminal would obey is kept from people; a library's user is no terminal.
        assert not (kinds is InputError and {c for c in message if ord(c) < 32} - {"\n"}), message[:300]
    finally:
        assert time.process_time() - began < MOST_SECONDS


words = st.sampled_from(
    [
        "",
        " ",
        ".",
        "..",
        "../../../../etc/passwd",
        "../x.json",
        "../x.nc",
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        "~",
        "file:///etc/passwd",
        "http://localhost:1/x.csv",
        "package:os/x",
        "package:numpy/../../../x",
        "package:numpy//etc/passwd",
        "package:__main__/x",
        "data:x/../y",
        "data:kuzhiyil2024_lgm50_calendar/../x",
        "a" * 300 + ".json",
        "a" * 5000,
        "<script>alert(1)</script>",
        "{{ 7 * 7 }}",
        "$(touch x)",
        "a\x00b.nc",
        "\x1b[2J",
        "\ud800",
        "\u202e",
        "é\u0301\U0001f50b",
        "=1+1",
        "NaN",
        "2020-02-30",
        "1e999",
        "x\ny",
    ]
)
numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2, 1e-300, 1e300, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.1, 1e-9, 5e-324]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]),
    st.integers(-1000, 1000),
    st.floats(),
)


def nested(depth):
    """Return lists in lists."""
    return [nested(depth - 1)] if depth else []


plain = st.one_of(st.none(), st.booleans(), numbers, words, st.text(max_size=8))
values = st.one_of(
    plain,
    st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.one_of(words, st.text(max_size=6)), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    st.integers(1, 150).map(nested),
    st.integers(1, 400).map(lambda count: [1] * count),
)


@st.composite
def disturbed(draw, content, most=3):
    """Change settings here and there: a value, a key, a whole section."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(content))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["value", "value", "value", "gone", "renamed", "again", "other"])):
            case "gone":
                del holder[key]
            case "renamed" if isinstance(holder, dict):
                holder[draw(words | st.text(max_size=8))] = holder.pop(key)
            case "again" if isinstance(holder, list):
                holder.extend([copy.deepcopy(holder[key])] * draw(st.integers(1, 30)))
            case "other":
                elsewhere, name = draw(st.sampled_from(places))
                with contextlib.suppress(KeyError, IndexError):
                    holder[key] = copy.deepcopy(elsewhere[name])
            case _:
                holder[key] = draw(values)
    return content


def _places(content):
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield content, key
        yield from _places(value)


_BITS = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\r",
    b"\n\n\n",
    b'"',
    b"'",
    b",",
    b",,,,",
    b";",
    b"\t",
    b"nan",
    b"inf",
    b"-1e999",
    b"1e308",
    b"9" * 400,
    b"-5",
    b"0x10",
    b"2020-02-30",
    b"2020-02-28T00:00:00+25:00",
    b"True",
    b"#",
    b"\\",
    b"{",
    b"[" * 200,
    b"x" * 20_000,
]


@st.composite
def mangled(draw, content, most=4):
    """Change bytes here and there, at the two ends more often than elsewhere."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        size = len(data)
        at = draw(
            st.one_of(st.integers(0, min(size, 400)), st.integers(max(0, size - 400), size), st.integers(0, size))
        )
        match draw(st.sampled_from(["put", "put", "put", "set", "flip", "cut", "end", "again", "encoding"])):
            case "put":
                data[at:at] = draw(st.sampled_from(_BITS) | st.binary(max_size=8))
            case "set":
                bits = draw(st.sampled_from(_BITS) | st.binary(min_size=1, max_size=8))
                data[at : at + len(bits)] = bits
            case "flip" if at < size:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at : at + draw(st.integers(1, 200))]
            case "end":
                del data[at:]
            case "again":
                data[at:at] = data[at : at + draw(st.integers(1, 200))] * draw(st.integers(1, 20))
            case "encoding":
                text = data.decode("latin-1")
                data = bytearray(text.encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-32"]))))
    return bytes(data)


_COLUMNS = {
    "text": lambda column: column.astype(str),
    "dates": lambda column: pd.to_datetime(np.arange(len(column)), unit="h", origin="2020-01-01"),
    "dates elsewhere": lambda column: pd.date_range("2020-01-01", periods=len(column), freq="h", tz="Asia/Tokyo"),
    "durations": lambda column: pd.to_timedelta(np.arange(len(column)), unit="h"),
    "truth": lambda column: np.arange(len(column)) % 2 == 0,
    "nothing": lambda column: [None] * len(column),
    "lists": lambda column: [[1.0, 2.0]] * len(column),
    "mappings": lambda column: [{"a": 1.0}] * len(column),
    "bytes": lambda column: [b"\xff"] * len(column),
    "classes": lambda column: pd.Categorical(column.astype(str)),
    "whole": lambda column: np.nan_to_num(column.to_numpy(float)).astype(np.int64),
    "single": lambda column: column.astype(np.float32),
    "constant": lambda column: np.ones(len(column)),
    "thousandfold": lambda column: 1e3 * column,
    "negative": lambda column: -column,
    "huge": lambda column: 1e300 * column,
    "backwards": lambda column: column.to_numpy()[::-1],
    "squared": lambda column: column**2,
}
_CELLS = [np.nan, np.inf, -np.inf, 1e308, -1.0, 1e9, "x", "", None, "1,5", "2020-01-01", True]


@st.composite
def disordered(draw, frame, most=3):
    """Change a table here and there: types, names, order, single values."""
    frame = frame.copy()
    for _ in range(draw(st.integers(1, most))):
        if not frame.shape[1]:
            break
        column = draw(st.integers(0, frame.shape[1] - 1))
        try:
            match draw(st.sampled_from(["kind", "kind", "cell", "cell", "name", "gone", "rows", "double", "many"])):
                case "kind":
                    kind = _COLUMNS[draw(st.sampled_from(list(_COLUMNS)))]
                    # What overflows in making a case is no warning of a reader.
                    with np.errstate(all="ignore"):
                        frame.isetitem(column, kind(frame.iloc[:, column]))
                case "cell":
                    cells = frame.iloc[:, column].astype(object).tolist()
                    for _ in range(draw(st.integers(1, 3))):
                        if cells:
                            cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(_CELLS))
                    frame.isetitem(column, cells)
                case "name":
                    names = list(frame.columns)
                    names[column] = draw(st.sampled_from([*names, "", "x", "\x1b[2J", "line", "index"]))
                    frame.columns = names
                case "gone":
                    frame = frame.drop(columns=frame.columns[column])
                case "rows":
                    count = len(frame)
                    chosen = draw(st.sampled_from([slice(0, 0), slice(0, 1), slice(0, 2), slice(None, None, -1)]))
                    frame = frame.iloc[draw(st.sampled_from([chosen, np.arange(count).repeat(2)]))]
                case "double":
                    frame = pd.concat([frame, frame.iloc[:, [column]]], axis=1)
                case "many":
                    extra = pd.DataFrame(np.zeros((len(frame), 300)), index=frame.index)
                    frame = pd.concat([frame, extra.add_prefix("a long name of a column ")], axis=1)
        except (TypeError, ValueError, OverflowError):
            # A change that cannot follow another, such as the square of text.
            reject()
    return frame.reset_index(drop=True)
