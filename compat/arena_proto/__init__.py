"""Records of games.

records               what they are made of
back_to_the_realm     version 1 of that game
back_to_the_realm_v2  version 2 of that game
"""
