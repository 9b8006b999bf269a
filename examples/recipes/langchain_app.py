"""A chain of LangChain, with Starlette: `uvicorn langchain_app:app`."""

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from tinistreamer.langchain import events
from tinistreamer.starlette import Answers

answers = Answers()
prompt = ChatPromptTemplate.from_template("Answer in one sentence: {question}")
chain = prompt | ChatOpenAI(model="gpt-5-mini")


async def ask(request):
    source = chain.astream_events(await request.json())
    return JSONResponse(await answers.start(events(source)))


async def again(request):
    return JSONResponse(await answers.access(request.path_params["key"]))


routes = [Route("/answers", ask, methods=["POST"]), Route("/answers/{key}", again)]
app = Starlette(routes=routes, lifespan=answers.lifespan)
