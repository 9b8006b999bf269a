"""Answers of Claude for signed-in users, with FastAPI: `uvicorn fastapi_app:app`."""

from typing import Annotated

from anthropic import AsyncAnthropic
from fastapi import Body, Depends, FastAPI, Header
from tinistreamer import AsyncWriter, model_failure
from tinistreamer.anthropic import events
from tinistreamer.fastapi import Answers

answers, claude = Answers(failure=model_failure), AsyncAnthropic().messages
app = FastAPI(lifespan=answers.lifespan)


def user_of(x_user: Annotated[str, Header()]) -> str:
    return x_user  # Check here who is signed in.


app.add_api_route("/answers/{key}", answers.access, dependencies=[Depends(user_of)])


@app.post("/answers")
async def ask(question: str = Body(embed=True), user: str = Depends(user_of)):
    async def produce(writer: AsyncWriter) -> None:
        await writer.write("question", {"text": question, "by": user})
        asked = [{"role": "user", "content": question}]
        said = claude.stream(model="claude-sonnet-4-5", max_tokens=999, messages=asked)
        await writer.pipe_from(events(said))

    return await answers.start(produce, subject=user)
