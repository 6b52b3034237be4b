"""Does a network decide as its nearest neighbours would?

Cohen, Sapiro, Giryes 2018, *DNN or k-NN: That is the Generalize vs. Memorize Question* (arXiv 1805.06822).

A network gives each example an *embedding*, the input of its last linear layer. Fit a k-nearest-neighbour rule to the embeddings of the
training examples with the labels that the network was trained on, and ask both for a class. Where the network has learned, the two agree on
training examples and on new ones; where it has memorized, they agree on the training examples and part on new ones.

- ``engine``: exact nearest neighbours, with the point itself left out.
- ``measures``: how two classifiers agree (MC, ME, P_SAME), and the divergence between their class probabilities.
- ``probes``: linear classifiers on a layer.
- ``layers``: what is looked at inside a model.
- ``conditions``: true labels, random labels, few examples, large batches.
- ``network``: all of it for one trained network; ``predictor``: for anything with ``predict_proba``.
- ``language``: the same between a language model and the hidden states of its training text.
"""
