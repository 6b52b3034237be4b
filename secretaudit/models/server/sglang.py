"""SGLang's own ``/generate``: token ids in, triples (ln p, id, text) out.

    input_token_logprobs        [[null, id, text], [ln p, id, text], …]             one per token of the prompt
    input_token_ids_logprobs    [null, [[ln p, id, text], …], …]                   the chosen tokens (``token_ids_logprob``) at every place
    output_top_logprobs         [[[ln p, id, text], …]]                            the likeliest next tokens (``top_logprobs_num``)

Log-probabilities of what SGLang generates are taken after the temperature, those of prompts are not. So chosen next tokens are priced *inside* the
prompt, at one more token that is put behind it for that purpose; the list is used by the handshake only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secretaudit.models.server.answers import WrongAnswer, entry, log_probability, whole_number
from secretaudit.models.server.client import Post
from secretaudit.models.server.dialects import NOT_ASKED, Prompt, Reading, check_all_told


class SglangDialect:
    """SGLang's own ``/generate``: ids in, ``[log-probability, id, text]`` out.

    Chosen next tokens are priced *inside* the prompt, one place before a token that is put after it for that purpose: log-probabilities of
    what SGLang generates are taken after the temperature, those of prompts are not.

    Args:
        root: Address of the server without ``/v1``.
    """

    name = "sglang"
    batch = 64
    tells_prompts = True
    chooses = 1024
    lists = 5

    def __init__(self, root: str) -> None:
        self._root = root

    def post(self, prompts: Sequence[Prompt], temperature: float) -> Post:
        """The request for some prompts of one kind."""
        chosen = bool(prompts[0].wanted)
        body: dict[str, object] = {
            "input_ids": [[*p.tokens, p.tokens[-1]] if chosen else list(p.tokens) for p in prompts],
            "sampling_params": {"max_new_tokens": 1, "temperature": temperature},
            "return_logprob": True,
            "logprob_start_len": 0,
        }
        if chosen:
            body["token_ids_logprob"] = [list(p.wanted) for p in prompts]
        if prompts[0].listed:
            body["top_logprobs_num"] = self.lists
        return Post(path=f"{self._root}/generate", body=body)

    def readings(self, answer: object, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the answer says of each prompt."""
        items = answer if isinstance(answer, list) else [answer]
        if len(items) != len(prompts):
            raise WrongAnswer(f"it holds {len(items)} answers for {len(prompts)} prompts")
        return [self._reading(item, p) for item, p in zip(items, prompts, strict=True)]

    def _reading(self, item: object, prompt: Prompt) -> Reading:
        about = entry(item, "meta_info", dict)
        tokens = [*prompt.tokens, prompt.tokens[-1]] if prompt.wanted else list(prompt.tokens)
        told = entry(about, "input_token_logprobs", list)
        if len(told) != len(tokens):
            raise WrongAnswer(f"it prices {len(told)} tokens where {len(tokens)} were sent")
        if [whole_number(entry(told, i, list)[1]) for i in range(len(told))] != tokens:
            raise WrongAnswer("it prices other tokens than those that were sent")
        if prompt.wanted:
            return Reading(log_p=NOT_ASKED, following=_chosen(about, prompt))
        if prompt.listed:
            first = entry(entry(about, "output_top_logprobs", list), 0, list)
            following = {whole_number(item[1]): log_probability(item[0]) for item in first}
            return Reading(log_p=NOT_ASKED, following=following)
        log_p = np.full(len(tokens), np.nan)
        log_p[1:] = [log_probability(pair[0]) for pair in told[1:]]
        return Reading(log_p=log_p, following={})

    def text_post(self, text: str) -> Post:
        """A request that shows how the server tokenizes a text."""
        body: dict[str, object] = {
            "text": text,
            "sampling_params": {"max_new_tokens": 1},
            "return_logprob": True,
            "logprob_start_len": 0,
        }
        return Post(path=f"{self._root}/generate", body=body)

    def text_tokens(self, answer: object) -> list[int]:
        """The token ids in the answer to ``text_post``, a begin-of-text token among them where one is added."""
        told = entry(entry(answer, "meta_info", dict), "input_token_logprobs", list)
        return [whole_number(entry(told, i, list)[1]) for i in range(len(told))]


def _chosen(about: object, prompt: Prompt) -> dict[int, float]:
    """The chosen tokens at the last place of SGLang's ``input_token_ids_logprobs``."""
    last = entry(entry(about, "input_token_ids_logprobs", list), -1, list)
    following = {whole_number(item[1]): log_probability(item[0]) for item in last}
    check_all_told(prompt, following)
    return following
