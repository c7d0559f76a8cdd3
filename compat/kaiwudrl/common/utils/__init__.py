"""What train_test.py uses.

train_test_utils  run_train_test
kaiwudrl_define   KaiwuDRLDefine
http_utils        http_utils_request
common_func       functions that look after processes
"""
