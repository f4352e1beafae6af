"""Names for what stands in a PHP file, for people."""

from tree_sitter import Node

from sdp.agent.php_config.syntax import Php

_WORDS = {
    "array_creation_expression": "an array",
    "assignment_expression": "another assignment",
    "binary_expression": "a concatenation or other operation",
    "conditional_expression": "a ternary",
    "if_statement": "an if",
    "match_expression": "a match",
    "subscript_expression": "an array's element",
    "switch_statement": "a switch",
    "try_statement": "a try",
    "unset_statement": "an unset",
    "variable_name": "a variable",
}


def describe(php: Php, node: Node) -> str:
    """What stands on a right-hand side, for people; never its text, which may hold a password."""
    match node.type:
        case "string":
            return "a string that is not UTF-8"
        case "encapsed_string" | "heredoc" | "nowdoc":
            return "a string with variables" if node.type == "encapsed_string" else "a heredoc"
        case "function_call_expression":
            function = node.child_by_field_name("function")
            name = php.bytes_of(function).decode(errors="replace") if function else "?"
            return f"a call of {name}()"
        case "name":
            return f"the constant {php.bytes_of(node).decode(errors='replace')}"
        case _:
            return words(node)


def words(node: Node) -> str:
    return _WORDS.get(node.type, node.type.replace("_", " "))
