"""Two agents in a row, on two machines: one writes, the other reviews and answers.

    loopsy fleet start --count 2
    LOOPSY_HOME=~/.loopsy/fleet/fleet-2 python examples/pipeline.py review
    LOOPSY_HOME=~/.loopsy/fleet/fleet-1 python examples/pipeline.py write fleet-2 "a haiku" "a song"

The reviewer may come later, or be killed in the middle: messages wait for it on disk, each comes
once and in order, and one that it has not acknowledged is there when it is back. What the two do
with a text stands in `draft` and `review`; put your agents there.
"""

from __future__ import annotations

import sys

import trio

from loopsy_core import LoopsyError, open_client


def draft(subject: str) -> str:
    """Write something."""
    return f"Here is {subject}, at last."


def review(text: str) -> str:
    """Say what is to be said of it."""
    return f"{len(text.split())} words, approved"


async def write(reviewer: str, subjects: list[str]) -> None:
    """Send a draft of each subject to the machine `reviewer`, and show what comes back."""
    async with open_client() as here, here.messages.watch() as inbox:
        asked = {}
        for subject in subjects:
            sent = await here.messages.send(reviewer, draft(subject), type="request")
            asked[sent.id] = subject
        async for message in inbox:
            if message.reply_to in asked:
                sys.stdout.write(f"{asked.pop(message.reply_to)}: {message.body}\n")
                await here.messages.ack(message.id)
            if not asked:
                return


async def review_all() -> None:
    """Answer each request, for ever."""
    async with open_client() as here, here.messages.watch() as inbox:
        async for message in inbox:
            if message.type == "request":
                await here.messages.reply(message, review(message.body))
                # Last: if we end before this, the request is here again when we are back.
                await here.messages.ack(message.id)


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["review"]:
                trio.run(review_all)
            case ["write", reviewer, *subjects] if subjects:
                trio.run(write, reviewer, subjects)
            case _:
                sys.exit("usage: pipeline.py review | write MACHINE SUBJECT...")
    except LoopsyError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
