"""Programs that Kaiwu's train_test.py starts; here the mesh starts its processes itself.

learner  the learner
aisrv    the aisrv
"""
