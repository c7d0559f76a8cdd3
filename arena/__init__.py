"""How good a model is: plays episodes with it, says and draws how they went, and shows them again. A game that has more
to show says so in its metadata.

evaluate   tools/evaluate.sh
arguments  its command line
outputs    the files that it writes
scene      the environment as an evaluation plays it
players    who plays: a model, or chance
options    what one environment's evaluation takes on the command line
models     which model is meant
episodes   the loop over episodes, for vectorised and for Kaiwu-style agents
contest    an evaluation in a game of several players
opponents  whom a model plays against
minimax    an opponent that looks some plies ahead
uct        an opponent that tries out moves by random games
openings   how games of a match begin
match      the loop over games
standings  wins, draws and losses, with intervals
agreement  how often moves are those of perfect play
certificate  what a model does against every play of the others
progress   how far it is
modes      whether sampled actions do better than the likeliest ones, or worse
figures    what is said about them, as numbers and as words
picture    the same as a PNG
recording  an episode in a file
again      a recorded episode, played again
replay     tools/replay.sh
show       an episode as a film or a page
terminal   tools/play.sh: a person plays
game       what a person plays, alone or against a model
face       any environment as a person sees and steers it
checkpoints  evaluation games of each model that is dumped, in one process
curve      draws runs
"""

from kaimesh.arena.episodes import Episode
from kaimesh.arena.models import Model, find_model

__all__ = ["Episode", "Model", "find_model"]
