"""Text → tree, by recursive descent.

    or     = and { "OR" and }
    and    = not { ["AND"] not }
    not    = ( "-" | "NOT" ) not | "(" or ")" | term
    term   = name ":" [ ">=" | ">" | "<=" | "<" ] value   |   name ( ">=" | … ) value

A value ends at a blank or a parenthesis outside quotes.
"""

from __future__ import annotations

from likeness.catalog.where.leaves import leaf
from likeness.catalog.where.tree import Leaf, Node, Not, Op, Where, both, either
from likeness.catalog.where.values import Char, Value
from likeness.errors import WhereError

MAX_LENGTH = 10_000
MAX_TERMS = 200
MAX_DEPTH = 50
"""Databases bound the depth of an expression; so do we, with a message that says so."""

_OPERATORS = (Op.AT_LEAST, Op.AT_MOST, Op.MORE, Op.LESS)  # the longer ones first
_ESCAPABLE = '\\"*?().'
_NAME_ENDS = ':<>=()"'


def parse_where(text: str) -> Where:
    """Return the tree of a filter. Raises WhereError, which points at the character."""
    if len(text) > MAX_LENGTH:
        raise WhereError(
            f"{text[:60]}…", 60, f"the filter has {len(text)} characters, limit {MAX_LENGTH}"
        )
    for i, char in enumerate(text):
        if char == "\0" or "\ud800" <= char <= "\udfff":
            raise WhereError(text, i, f"a filter cannot contain the character {char!a}")
    return Where(_Parser(text).whole(), text)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._terms, self._depth = 0, 0

    def whole(self) -> Node:
        self._skip_blanks()
        if self._at == len(self._text):
            raise self._error("the filter is empty; a term is written field:value")
        node = self._or()
        if self._at < len(self._text):  # only a closing parenthesis stops _or
            raise self._error("there is no ( for this )")
        return node

    # ---------------------------------------------------------------- structure

    def _or(self) -> Node:
        terms = [self._and()]
        while self._word("OR"):
            terms.append(self._and())
        return either(terms)

    def _and(self) -> Node:
        terms = [self._not()]
        while True:
            self._skip_blanks()
            if self._word("AND"):
                terms.append(self._not())
            elif self._at == len(self._text) or self._peek() == ")" or self._is_word("OR"):
                return both(terms)
            else:
                terms.append(self._not())

    def _not(self) -> Node:
        self._skip_blanks()
        start = self._at
        if self._depth > MAX_DEPTH:
            raise self._error(f"the filter is nested more than {MAX_DEPTH} deep")
        self._depth += 1  # parentheses and negations
        node: Node
        if self._word("NOT") or self._take("-"):
            if self._at < len(self._text) and self._peek() == "-":
                raise self._error("write one minus, or none")
            node = Not(self._not())
        elif self._take("("):
            self._skip_blanks()
            if self._at < len(self._text) and self._peek() == ")":
                raise self._error("there is nothing between these parentheses")
            node = self._or()
            if not self._take(")"):
                raise self._error("the parenthesis is never closed", start)
        else:
            node = self._term()
        self._depth -= 1
        return node

    def _term(self) -> Leaf:
        if self._at == len(self._text) or self._peek() == ")" or self._is_word("OR", "AND"):
            raise self._error("a term field:value is missing here")
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self._error(f"the filter has more than {MAX_TERMS} terms")
        start = self._at
        name, is_column = self._name()
        colon = self._take(":")
        op = next((op for op in _OPERATORS if self._take(op.value)), Op.EQUAL)
        if not colon and op is Op.EQUAL:
            what = self._text[start : self._at]
            if self._at < len(self._text) and self._peek() == "=":
                raise self._error(f"write {what}:… instead of {what}=…")
            if what.upper() in ("AND", "OR", "NOT"):
                raise self._error(f"write {what.upper()} in capitals, between terms", start)
            raise self._error(
                f"{what!r} is not of the form field:value; to find it in file names write "
                f"path:*{what}*",
                start,
            )
        return leaf(name, op, self._value(), start, is_column=is_column)

    def _name(self) -> tuple[str, bool]:
        """Return the field's name and whether it can only be a list column."""
        start = self._at
        is_column = self._take("meta.")
        if self._at < len(self._text) and self._peek() == '"':
            name, is_column = "".join(char.char for char in self._quoted()), True
        else:
            begin = self._at
            while self._at < len(self._text) and not self._ends(_NAME_ENDS):
                self._at += 1
            name = self._text[begin : self._at]
        if not name:
            raise self._error("a field's name is missing before this", start)
        return name, is_column

    # ---------------------------------------------------------------- values

    def _value(self) -> Value:
        start, chars = self._at, list[Char]()
        quoted = False
        while self._at < len(self._text) and not self._ends("()"):
            if self._peek() == '"':
                chars += self._quoted()
                quoted = True
            elif self._peek() == "\\":
                chars.append(self._escape(quoted=False))
            else:
                chars.append(Char(self._peek(), self._at))
                self._at += 1
        if not chars and not quoted:
            raise self._error("a value is missing here")
        if self._at < len(self._text) and self._peek() == "(":
            raise self._error('a value with parentheses is written in quotes, as path:"*(1)*"')
        return Value(self._text, start, tuple(chars))

    def _quoted(self) -> list[Char]:
        start, chars = self._at, list[Char]()
        self._at += 1
        while self._at < len(self._text):
            if self._take('"'):
                return chars
            if self._peek() == "\\":
                chars.append(self._escape(quoted=True))
            else:
                chars.append(Char(self._peek(), self._at, quoted=True))
                self._at += 1
        raise self._error("the quote is never closed", start)

    def _escape(self, *, quoted: bool) -> Char:
        """A backslash before a special character makes it plain; before others it is itself."""
        following = self._text[self._at + 1 : self._at + 2]
        if following and (following in _ESCAPABLE or (following.isspace() and not quoted)):
            char = Char(following, self._at, quoted=quoted, escaped=True)
            self._at += 2
            return char
        char = Char("\\", self._at, quoted=quoted)
        self._at += 1
        return char

    # ---------------------------------------------------------------- characters

    def _peek(self) -> str:
        return self._text[self._at]

    def _take(self, expected: str) -> bool:
        if self._text.startswith(expected, self._at):
            self._at += len(expected)
            return True
        return False

    def _ends(self, marks: str) -> bool:
        return self._peek().isspace() or self._peek() in marks

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._peek().isspace():
            self._at += 1

    def _is_word(self, *words: str) -> bool:
        for word in words:
            end = self._at + len(word)
            following = self._text[end : end + 1]
            if self._text.startswith(word, self._at) and (
                not following or following.isspace() or following in "()"
            ):
                return True
        return False

    def _word(self, word: str) -> bool:
        self._skip_blanks()
        if not self._is_word(word):
            return False
        self._at += len(word)
        return True

    def _error(self, reason: str, position: int | None = None) -> WhereError:
        return WhereError(self._text, self._at if position is None else position, reason)
