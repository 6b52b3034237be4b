"""Our own recurrent language models: LSTM and GRU."""
