"""Evaluation, as configurations name it.

workflow  eval_workflow, exam_workflow
"""
