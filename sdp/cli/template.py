"""The template commands: what sandboxes have in common, listed and written."""

from typing import Annotated

import typer

from sdp.api.views import TemplateView
from sdp.cli import context as cli
from sdp.cli.edit import Keys, NewName, UnsetKeys, Values, Yes, edits_of, remove, settings
from sdp.cli.write import Options, write, writing
from sdp.spec.edits import Clone, Create

app = typer.Typer(name="template", no_args_is_help=True, help="What sandboxes have in common.")

Name = Annotated[str, typer.Argument(help="The template's name, in any case.")]


@app.command("list")
def listed(context: typer.Context, *, as_json: cli.AsJson = False) -> None:
    """List the templates, and the sandboxes that start from each.

    Example: `sdp template list`.
    """
    with cli.failures():
        found = cli.client(context).get_all("/api/templates", TemplateView)
    if as_json:
        cli.print_json(found)
        return
    rows = [(each.name, each.path, ", ".join(each.used_by) or "nobody") for each in found]
    cli.out().print(cli.table(("TEMPLATE", "FILE", "USED BY"), rows))


@app.command("new")
@writing
def new(
    context: typer.Context,
    options: Options,
    name: NewName,
    source: Annotated[
        str | None, typer.Option("--from", help="A template to say the same as.")
    ] = None,
    values: Values = None,
) -> None:
    """Create a template.

    Examples: `sdp template new QA-NEXT --set gateway.branch=next`;
    `sdp template new QA-NEXT --from QA-DEFAULT --set services.account.branch=next`.
    """
    made = (
        Create(kind="template", name=name)
        if source is None
        else Clone(kind="template", name=name, source=source)
    )
    write(context, options, [made, *settings("template", name, values or ())])


@app.command("set")
@writing
def change(
    context: typer.Context,
    options: Options,
    name: Name,
    values: Keys = None,
    unset: UnsetKeys = None,
) -> None:
    """Change keys of a template; every sandbox that starts from it changes.

    Examples: `sdp template set QA-DEFAULT services.account.branch=next --dry-run`;
    `sdp template set QA-DEFAULT --unset services.user`.
    """
    write(context, options, edits_of("template", name, values, unset))


@app.command("delete")
@writing
def delete(context: typer.Context, options: Options, name: Name, *, yes: Yes = False) -> None:
    """Delete a template that no sandbox starts from.

    Example: `sdp template delete QA-NEXT`.
    """
    remove(context, options, "template", name, yes=yes)
