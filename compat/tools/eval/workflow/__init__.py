"""Workflows that configurations name; here tools/evaluate.sh plays the episodes.

eval_workflow  run_mode = eval
exam_workflow  run_mode = exam
"""
