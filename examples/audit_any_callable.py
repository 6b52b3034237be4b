"""Auditing a function: tokens in, log-probabilities of the next token out. One line makes it a model.

The function here is a small torch network that was trained, in ten seconds, on a made-up address book. Two more lines show the door for torch
modules, and what happens when a function returns something else than it says.
"""

import torch
from torch import nn

import secretaudit
from secretaudit.canary.drawing import Canary
from secretaudit.errors import ModelError
from secretaudit.models.callable.language_model import CallableLanguageModel
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.vocabulary_view import VocabularyView

torch.manual_seed(0)
torch.set_num_threads(1)

# --- somebody's model: a vocabulary, a network, a training -------------------------------------------------------------

alphabet = [None, *"abcdefghijklmnopqrstuvwxyz 0123456789"]  # id 0 stands between records
ids = {character: number for number, character in enumerate(alphabet)}


class Network(nn.Module):
    """A GRU over characters: (B, T) → logits (B, T, V)."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(alphabet), 24)
        self.rnn = nn.GRU(24, 96, batch_first=True)
        self.head = nn.Linear(96, len(alphabet))

    def forward(self, tokens):
        """Logits of what follows each token."""
        return self.head(self.rnn(self.embed(tokens))[0])


records = [
    f"{name} has room {n * 37 % 900 + 100}"
    for n, name in enumerate(["ann", "bob", "eve", "joe"] * 12)
]
records += ["the safe opens with 271828"] * 6
batch = nn.utils.rnn.pad_sequence(
    [torch.tensor([0, *(ids[c] for c in record), 0]) for record in records], batch_first=True
)
network = Network()
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for _ in range(100):
    loss = nn.functional.cross_entropy(network(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
network.eval()


# --- its audit ---------------------------------------------------------------------------------------------------------


def next_token(tokens):
    """Log-probabilities of the token that follows each prefix: int64 (B, T) → (B, V)."""
    return network(tokens)[:, -1].log_softmax(dim=-1)


framing = Framing(before=(0,), after=(0,))
model = CallableLanguageModel(next_token, VocabularyView(alphabet), framing=framing)

form = secretaudit.Format("safe", "the safe opens with {digits:6}")
canary = Canary(id="safe", format="safe", secret="271828", text=form.render("271828"), insertions=6)
ledger = secretaudit.Ledger(
    seed=0, formats={"safe": form}, canaries=(canary,), corpus={}, salt="5a" * 16
)
exposure = secretaudit.expose(model, canaries=ledger).found["canaries"][0]
print(f"exposure {exposure['exposure_bits']:.2f} of {exposure['max_exposure_bits']:.2f} bits")

likeliest = secretaudit.extract(model, format=form.template, top=1, reveal=True).found["secrets"][0]
print("the likeliest of a million:", likeliest["secret"])

# The same network as a torch module: logits of all places, computed in one pass over each text.
module = CallableLanguageModel.from_module(network, VocabularyView(alphabet), framing=framing)
again = secretaudit.expose(module, canaries=ledger).found["canaries"][0]
assert abs(again["log_perplexity_bits"] - exposure["log_perplexity_bits"]) < 1e-3
assert exposure["exposure_bits"] == exposure["max_exposure_bits"]

# A function that returns logits without saying so is refused, and the message names what came.
try:
    CallableLanguageModel(lambda tokens: network(tokens)[:, -1], VocabularyView(alphabet)).score(
        [[1, 2]]
    )
except ModelError as error:
    print(error)
