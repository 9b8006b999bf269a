"""Answers of a model with Django: `python django_app.py runserver --noreload`."""

import json
import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import path
from openai import OpenAI
from tinistreamer.django import Answers
from tinistreamer.openai import events

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(32).hex(), DEBUG=True)
answers, chat = Answers(), OpenAI().chat.completions


def answer(request):
    messages = [{"role": "user", "content": json.loads(request.body)["question"]}]

    def produce(writer):  # In a thread, which outlives the request.
        chunks = chat.create(model="gpt-5-mini", messages=messages, stream=True)
        writer.pipe_from(events(chunks))

    return produce


views = answers.view(answer), answers.access_view
urlpatterns = [path("answers", views[0]), path("answers/<str:key>", views[1])]
execute_from_command_line(sys.argv)
