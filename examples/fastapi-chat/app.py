from pathlib import Path

from fastapi import Body, FastAPI
from fastapi.responses import FileResponse
from openai import AsyncOpenAI
from tinistreamer.fastapi import Answers
from tinistreamer.openai import events

answers, chat = Answers(), AsyncOpenAI().chat.completions
app = FastAPI(lifespan=answers.lifespan)
app.add_api_route("/", lambda: FileResponse(Path(__file__).with_name("page.html")))
app.add_api_route("/answers/{key}", answers.access)


@app.post("/answers")
async def ask(question: str = Body(embed=True)):
    messages = [{"role": "user", "content": question}]
    chunks = chat.create(model="gpt-5-mini", messages=messages, stream=True)
    return await answers.start(events(chunks))
