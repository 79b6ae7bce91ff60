"""Tests of lwm2md.http.templates: observation templates through the API."""

from __future__ import annotations

from tests.http.support import ApiTestCase

_TEMPLATES = "/v1/observation-templates"
_BODY = {"match": {"labels": "farm=north", "objects": ["/3303"]}, "observe": [{"path": "/3303/*/5700"}]}


class TemplatesTests(ApiTestCase):
    """Put, shown, listed, taken back."""

    async def test_life(self) -> None:
        """PUT answers 201 and then 200 with the template, GET shows it, DELETE takes it back."""
        for status in (201, 200):
            answer = await self.call("PUT", f"{_TEMPLATES}/heat", _BODY)
            self.assertEqual(answer.status, status, answer.body)
        shown = await self.call("GET", f"{_TEMPLATES}/heat")
        self.assertEqual((shown.json["name"], shown.json["match"]["labels"]), ("heat", "farm=north"))
        self.assertEqual(shown.json["observe"][0]["path"], "/3303/*/5700")
        listed = await self.call("GET", _TEMPLATES)
        self.assertEqual(([each["name"] for each in listed.json["items"]], listed.json["next"]), (["heat"], None))
        self.assertEqual((await self.call("DELETE", f"{_TEMPLATES}/heat")).status, 204)
        for method in ("GET", "DELETE"):
            gone = await self.call(method, f"{_TEMPLATES}/heat")
            self.assertEqual((gone.status, gone.json["code"]), (404, "unknown-template"))

    async def test_bad(self) -> None:
        """What is no template is refused with the member that is wrong."""
        cases: list[tuple[object, str]] = [
            ({}, "bad-body"),
            ({"observe": []}, "bad-body"),
            ({"observe": [{"path": "/3", "pmin": 1}]}, "bad-body"),
            ({"observe": [{"path": "/x"}]}, "bad-operation"),
            ({"observe": [{"path": "/3"}], "match": {"labels": "="}}, "bad-operation"),
        ]
        for body, code in cases:
            answer = await self.call("PUT", f"{_TEMPLATES}/t", body)
            self.assertEqual((answer.status, answer.json["code"]), (400, code), body)
