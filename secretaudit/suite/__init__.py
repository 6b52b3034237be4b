"""How a network memorizes: four papers as measurements on a user's own model and data.

Each folder is one paper, with the same face: settings → run → record → report.

- ``noise``: Arpit et al. 2017, *A Closer Look at Memorization in Deep Networks*.
- ``neighbours``: Cohen, Sapiro, Giryes 2018, *DNN or k-NN: That is the Generalize vs. Memorize Question*.
- ``pretraining``: Pondenkandath et al. 2018, *Leveraging Random Label Memorization for Unsupervised Pre-Training*.
- ``dissection``: Gu & Tresp 2019, *Neural Network Memorization Dissection*.

What they share stands beside them: labelled examples (``labelled``), what is trained on them (``learner``, ``classifier``), one training
loop for classifiers (``fitting``), gradients of single examples (``per_example``), trainings side by side that survive a kill (``cells``),
intervals and tests (``statistics``).
"""
