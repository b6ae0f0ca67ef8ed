"""The recurrent network: CUT3R's architecture with interchangeable state update rules."""
