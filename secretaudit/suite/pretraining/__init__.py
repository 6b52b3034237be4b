"""Does a network that memorized random labels learn real ones better? Pondenkandath, Alberti, Puran, Ingold, Liwicki 2018.

*Leveraging Random Label Memorization for Unsupervised Pre-Training* (arXiv 1811.01640, NeurIPS 2018 workshop). Read: a network memorizes arbitrary labels of
a large unlabelled set and is then trained as usual; on action clips it gained 1.5 % (UCF101) to 5 % (Kinetics) accuracy; with labels re-shuffled again and
again, the first memorization is slow and the later ones are fast (figure 1); the authors' script permutes the label vector of the training
folder and measures accuracy on that same folder. Not known: the network, the number of random classes, epochs, stop rule, learning rates, whether the head is kept,
splits and seeds. Here all of these are dials, and the paired control, the intervals, the two controls of the fine-tuning and everything about language
models are ours.

- ``random_labels``: labels that say nothing.
- ``rounds``: memorize them, re-draw them, memorize again.
- ``heads``: find the last layer of any classifier and put another in its place.
- ``transfer``: fine-tune on the true labels, beside a network from scratch that differs in nothing else.
- ``comparison``: what the seeds say together.
- ``language``: random continuations before real text, and what it does to canaries.
"""
