def usr_conf_check(usr_conf, logger=None):
    """Whether the environment would take it."""
    diy = usr_conf.get("diy", {})
    start, end = diy.get("start", 2), diy.get("end", 1)
    treasures = diy.get("treasure_id", [])
    fine = start != end and all(1 <= point <= 15 and point not in (start, end) for point in treasures)
    if not fine and logger:
        logger.error(f"usr_conf is wrong: {usr_conf}")
    return fine
