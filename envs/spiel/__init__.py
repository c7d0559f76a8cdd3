"""`spiel:<game>`: the sequential games of perfect information without chance of OpenSpiel (arXiv 1908.09453).

`spiel:tic_tac_toe`, `spiel:connect_four`, `spiel:othello`, `spiel:gomoku`, `spiel:go`, `spiel:mancala` and some thirty
more; env_conf holds the game's own parameters: `env_conf = { board_size = 9 }` for `spiel:go`. Others are refused in
words.

game          a game by its name and parameters, or why it is none for the mesh
seen          what agents see of a position: planes of the board, and who is to move
boards        which games have a board with a stone in each cell, as people know it
vector        the vector environment
connect_four  Connect Four solved exactly
symmetries    which images of its board are worth the same
face          a board in a terminal, and its keys
story         a played game as data; story.js draws it
picture       a board as a picture
"""
