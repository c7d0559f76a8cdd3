"""Records of back_to_the_realm_v2.

custom_pb2  under the name of the generated module
"""
