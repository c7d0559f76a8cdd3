"""Records of back_to_the_realm.

custom_pb2  under the name of the generated module
"""
