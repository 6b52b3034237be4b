"""Noise against real data (Arpit et al. 2017, *A Closer Look at Memorization in Deep Networks*).

The same network is trained on the data, on data whose inputs are noise (randX), and on data whose labels are (randY). What it does alike on all
three is capacity to memorize; what it does otherwise on real data is learning.

- ``builders``: randX, randY and mixtures.
- ``ease``: which examples are easy, from many initial weights (figure 1).
- ``sensitivity``: how far one example moves the loss, through the unrolled training (figures 3 and 4).
- ``lass``, ``critical``: how many points have a decision boundary close by (figures 7 to 9).
- ``capacity``: epochs until everything is fitted, by units and by examples (figures 5 and 6).
- ``regularizers``: which of them caps memorization at no cost (figures 10 and 11).
- ``language``: the same questions of a language model.
"""
